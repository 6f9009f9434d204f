#pragma once
// Buffer: immutable bytes shared by reference; see runtime/base/buffer.hpp.
#include "runtime/base/buffer.hpp"

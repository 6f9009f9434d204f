#pragma once
// What can go wrong: the family manta::Error and Result<T>. See runtime/base/error.hpp for the codes.
#include "runtime/base/error.hpp"
#include "runtime/base/result.hpp"

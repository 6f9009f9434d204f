#pragma once
// doctest for files that include LibTorch, whose logging header defines a CHECK of its own: include this one last.
#undef CHECK
#include <doctest/doctest.h>

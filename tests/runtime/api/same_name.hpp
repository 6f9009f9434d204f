#pragma once
// Two files that each have a function, a class and a lambda of the same names.
#include <vector>

#include "runtime/runtime.hpp"

namespace manta_test {

std::vector<manta::ObjectRef<int>> submit_those_of_file_a(manta::Client& client);
std::vector<manta::ObjectRef<int>> submit_those_of_file_b(manta::Client& client);

}  // namespace manta_test

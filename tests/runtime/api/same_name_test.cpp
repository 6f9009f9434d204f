// A function's name is no identity: two files may have one each (a trap of registries that go by name).
#include "same_name.hpp"

#include "support.hpp"

namespace manta_test {

TEST_SUITE("runtime/api/names") {
  TEST_CASE("functions, lambdas and classes of equal names in two files run each file's own code") {
    Machine machine;
    const auto a = submit_those_of_file_a(machine.rt);
    const auto b = submit_those_of_file_b(machine.rt);
    CHECK(machine.rt.get(a) == std::vector{11, 11, 1, 21});
    CHECK(machine.rt.get(b) == std::vector{12, 12, 2, 22});
  }
}

}  // namespace manta_test

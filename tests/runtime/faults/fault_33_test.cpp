// Fault 33: a thousand nested gets on a machine of one CPU: each that waits gives its CPU to the next.
#include "../api/support.hpp"

namespace manta_test {
namespace {

int descend(Context& ctx, int depth) { return depth == 0 ? 0 : 1 + ctx.get(ctx.remote<descend>(depth - 1)); }

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 33: a chain of a thousand gets ends on one CPU, which is whole afterwards") {
    Machine machine(small_machine(1));
    CHECK(machine.rt.get(machine.rt.remote<descend>(1000), 120s) == 1000);
  }
}

}  // namespace manta_test

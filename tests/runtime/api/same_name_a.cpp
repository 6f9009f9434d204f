#include "same_name.hpp"

namespace manta_test {
namespace {

int whose(int x) { return 10 * x + 1; }
struct Owner {
  int whose() { return 1; }
};

}  // namespace

std::vector<manta::ObjectRef<int>> submit_those_of_file_a(manta::Client& client) {
  return {client.remote<whose>(1), client.remote<[](int x) { return 10 * x + 1; }>(1),
          client.actor<Owner>({.isolation = manta::own_process}).spawn().call<&Owner::whose>(),
          client.task<whose>({.isolation = manta::own_process}).remote(2)};
}

}  // namespace manta_test

#pragma once
// What a bench must say about the machine it ran on, and how a thread is held on one core of it.
#include <string>
#include <vector>

namespace manta::bench {

struct Machine {
  std::string cpu_model;
  int core_count;          ///< logical cores of the machine
  std::vector<int> cores;  ///< the ones this process is held on, by the kernel's number; two floors' threads use the first two
};

/// Holds the calling thread, and all that it starts later, on these cores. Throws std::system_error.
void hold_on(const std::vector<int>& cores);

/// Two cores this process may use, not two threads of one physical core if that can be had; one if there is only one.
std::vector<int> two_cores();

/// The machine as it is, with `cores` as given.
Machine describe_machine(std::vector<int> cores);

}  // namespace manta::bench

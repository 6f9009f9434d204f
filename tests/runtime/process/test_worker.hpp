#pragma once
// What the worker processes of these tests do: MANTA_TEST_JOB in a worker's environment says which.
#include "runtime/process/zygote_main.hpp"

namespace manta_test {

/// Runs the job of a worker; the value main returns.
int run_worker(manta::WorkerStart start);

/// A driver that starts three workers (one of which starts a child), prints the pids of zygote, workers and child, one
/// a line, and waits to be killed.
int run_sub_driver();

/// A driver that gives its zygote a second for each request. Prints the zygote's pid; then for each line of its input "asks", and after
/// it has asked for a worker "made", or what went wrong.
int run_asking_driver();

/// A zygote that makes no worker and says of each that it has, with a number that no process can have.
int run_lying_zygote();

}  // namespace manta_test

#pragma once
// The operations that are measured, against the public API alone.
#include <vector>

#include "bench/harness/measure.hpp"
#include "runtime/runtime.hpp"

namespace manta::bench {

/// Serial: submit one, get it, again; a round trip. Batch of 1000: submit 1000, get all of them. The runtime must outlive
/// the bodies. Actors are spawned when the body is made, one at a time is alive as long as the body.
Body task_serial(Client& client);
Body task_batch_1000(Client& client);
Body actor_serial(Client& client);
Body actor_batch_1000(Client& client);
/// Makes objects of ints in batches of 1000; letting them go is part of it.
Body put_int(Client& client);
/// Copies out objects that are there; making them is not part of it.
Body get_int(Client& client);
/// One object that holds 10,000 refs: made, got and let go. The objects that they refer to are there.
Body refs_10k(Client& client);
/// A round takes 1,000 finished refs one at a time: by `wait` on those that are left, and by `as_completed`.
Body wait_1k(Client& client);
Body as_completed_1k(Client& client);
/// A group of one bundle made, awaited and removed.
Body placement_group(Client& client);

}  // namespace manta::bench

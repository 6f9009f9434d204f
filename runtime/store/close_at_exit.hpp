#pragma once
// Stores that are still open when the program ends. A static of the program's may hold one (a global Journal, a Runtime in a static), and
// RocksDB's own statics, which closing needs, are destroyed before it where they were made after it: so what is open when main has
// returned is closed ahead of them. A fork's child has not the threads that closing waits for, nor those of RocksDB's statics: where a store
// has been opened before the fork, it closes its own and leaves there, by _exit, without the program's handlers and statics that are older.
// Thread-safe.
#include <functional>

namespace manta {

/// `close` is called when the program ends, with a lock of this held, unless closed_by_itself has been called by then. For an open store: what
/// it stands on has been made.
void close_at_exit(const void* store, std::function<void()> close);
void closed_by_itself(const void* store);

}  // namespace manta

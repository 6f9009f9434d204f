#pragma once
// What a process's forks must not have of it. CLOEXEC keeps descriptors from programs that are executed; a child that fork() has
// made, and that goes on with this program's code, has them all: it would hold a socket open after its parent's end, and what it
// sends would come between its parent's frames. It has its parent's objects too, but not the threads that those need.

namespace manta {

/// In each child that fork() makes of this process from now on, `fd` is /dev/null: sends and receives fail, nobody is kept from seeing
/// that the parent has ended. One descriptor in each process, kept open until its end. Not thread-safe. (Not for vfork, clone, and
/// posix_spawn, which share or replace the memory.)
void keep_from_forks(int fd);

/// Forks between this process and the one in which this, or keep_from_forks, was first called. Differs from what it was when something
/// was made: that belongs to another process, of which this one is a fork. Thread-safe.
int count_forks();

}  // namespace manta

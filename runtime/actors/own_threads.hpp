#pragma once
// Which threads are the runtime's: those of its pools and lanes, for as long as they run. Code of the user's runs on them also outside of work:
// destructors of actors, serialise functions.

namespace manta::detail {

inline thread_local bool t_is_runtimes = false;

}  // namespace manta::detail

#include "runtime/stats.hpp"

namespace manta {

std::string RuntimeStats::to_string() const {
  std::string text;
  auto add = [&text](const char* name, std::uint64_t value) {
    text += (text.empty() ? "" : ", ") + std::string(name) + " " + std::to_string(value);
  };
  add("unfinished", unfinished);
  add("queued bytes", queued_bytes);
  add("actors", actors);
  add("lent objects", lent_objects);
  add("borrowed objects", borrowed_objects);
  add("lineage bytes", lineage_bytes);
  add("stored objects", stored_objects);
  add("arena bytes", arena_bytes);
  add("file bytes", file_bytes);
  add("pinned objects", pinned_objects);
  add("spilled objects", spilled_objects);
  add("leases", leases);
  add("worker processes", worker_processes);
  return text;
}

}  // namespace manta

#include "runtime/store/spill_place.hpp"

#include <unistd.h>

#include "runtime/store/object_file.hpp"

namespace manta {

std::filesystem::path default_spill_place() {
  constexpr char kOnDisk[] = "/var/tmp";
  std::error_code error;
  auto place = std::filesystem::temp_directory_path(error);
  const bool elsewhere = error || lies_in_memory(place.string());
  if (elsewhere && ::access(kOnDisk, W_OK | X_OK) == 0 && !lies_in_memory(kOnDisk)) return kOnDisk;
  return error ? std::filesystem::path("/tmp") : place;
}

}  // namespace manta

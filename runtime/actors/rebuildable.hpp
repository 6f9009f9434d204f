#pragma once
// Rebuildable: what a StoredObject is besides when somebody can say what becomes of it once its bytes are lost: it is made again from
// its lineage, its owner in another process is asked, or there is a reason why not. Thread-safe; never blocks.
#include "runtime/cell.hpp"

namespace manta::detail {

class Rebuildable {
 public:
  virtual ~Rebuildable() = default;
  /// The copy `lost` is gone: the cell that another one will come to, the same for all who ask meanwhile; or why none will come.
  virtual Result<std::shared_ptr<Cell>> rebuild(std::uint64_t lost) = 0;
  /// Takes over what has come.
  virtual Result<void> adopt(Cell& made) = 0;
};

/// Of a lost object that is being made again.
inline ErrorInfo not_made_again_in_time() {
  return {.code = ErrorCode::kTimeout,
          .message = "the value was lost and is being made again, which was not done in time; it goes on: get it again, or give it more time"};
}

}  // namespace manta::detail

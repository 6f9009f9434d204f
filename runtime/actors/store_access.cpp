#include "runtime/actors/store_access.hpp"

namespace manta::detail {

class StoreAccess::Handle final : public StoredObject {
 public:
  Handle(std::shared_ptr<StoreAccess> access, ObjectId id, std::uint64_t size, bool owned)
      : access_(std::move(access)), id_(id), size_(size), owned_(owned) {}
  ~Handle() override {
    if (owned_) access_->let_go(id_);
  }
  std::uint64_t id() const noexcept override { return id_.value; }
  std::uint64_t size() const noexcept override { return size_; }
  Result<Buffer> open(Deadline) override {
    auto opened = access_->open(id_);
    if (opened || owned_ || opened.error().code != ErrorCode::kNotFound) return opened;
    auto error = opened.error();  // it was made again in another place meanwhile, and this one freed: whoever owns it knows
    error.code = ErrorCode::kObjectLost;
    return error;
  }
  const StoreAccess* home() const noexcept override { return access_.get(); }

 private:
  std::shared_ptr<StoreAccess> access_;
  ObjectId id_;
  std::uint64_t size_;
  bool owned_;
};

std::shared_ptr<StoredObject> StoreAccess::owned(ObjectId id, std::uint64_t size) {
  {
    std::lock_guard lock(held_mutex_);
    held_.insert(id);
  }
  return std::make_shared<Handle>(shared_from_this(), id, size, true);
}

bool StoreAccess::holds(ObjectId id) const {
  std::lock_guard lock(held_mutex_);
  return held_.contains(id);
}

void StoreAccess::let_go(ObjectId id) {
  if (in_fork()) return;  // it lets its copy of a ref go
  free(id);
  std::lock_guard lock(held_mutex_);
  held_.erase(id);
}

std::shared_ptr<StoredObject> StoreAccess::borrowed(ObjectId id, std::uint64_t size) {
  return std::make_shared<Handle>(shared_from_this(), id, size, false);
}

Result<std::shared_ptr<StoredObject>> StoreAccess::place(std::uint64_t size, const Fill& fill, ProcessId owner) {
  auto room = create(size, owner);
  if (!room) return room.error();
  try {
    fill(room->bytes);
  } catch (...) {
    abort(room->id);
    return current_exception_info();
  }
  if (auto sealed = seal(room->id); !sealed) return sealed.error();
  return owner == self() ? owned(room->id, size) : borrowed(room->id, size);
}

}  // namespace manta::detail

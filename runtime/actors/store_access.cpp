#include "runtime/actors/store_access.hpp"

namespace manta::detail {

namespace {

class StoreHandle final : public StoredObject {
 public:
  StoreHandle(std::shared_ptr<StoreAccess> access, ObjectId id, std::uint64_t size, bool owned)
      : access_(std::move(access)), id_(id), size_(size), owned_(owned) {}
  ~StoreHandle() override {
    if (owned_) access_->free(id_);
  }
  std::uint64_t id() const noexcept override { return id_.value; }
  std::uint64_t size() const noexcept override { return size_; }
  Result<Buffer> open() override { return access_->open(id_); }

 private:
  std::shared_ptr<StoreAccess> access_;
  ObjectId id_;
  std::uint64_t size_;
  bool owned_;
};

}  // namespace

std::shared_ptr<StoredObject> StoreAccess::owned(ObjectId id, std::uint64_t size) {
  return std::make_shared<StoreHandle>(shared_from_this(), id, size, true);
}

std::shared_ptr<StoredObject> StoreAccess::borrowed(ObjectId id, std::uint64_t size) {
  return std::make_shared<StoreHandle>(shared_from_this(), id, size, false);
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

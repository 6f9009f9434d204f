#pragma once
// The two archives of Manta's own that codec.hpp gives to cereal. Not thread-safe: one archive, one thread.
#include <cereal/cereal.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <vector>

#include "runtime/base/copy.hpp"
#include "runtime/base/error.hpp"
#include "runtime/buffer.hpp"

namespace manta {

namespace detail {
/// What a value refers to: it travels beside the value's bytes, is counted, and stays a reference. The target is the Cell
/// of an object or the ActorLink of an actor.
enum class ReferenceKind : std::uint8_t { kObject = 0, kActor = 1 };
struct Reference {
  ReferenceKind kind{ReferenceKind::kObject};
  std::shared_ptr<void> target{};
};
using References = std::vector<Reference>;
using SharedReferences = std::shared_ptr<const References>;  ///< null: none
/// A value was counted with so many bytes and then wrote more, or fewer.
[[noreturn]] void throw_changed_size(std::size_t counted);

/// What is within another one's depth is read and written by recursion: stops before that comes to the end of the thread's stack.
class NestingGuard {
 public:
  NestingGuard() noexcept;
  bool too_deep() const noexcept { return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - lowest_ < reserve_; }

 private:
  std::uintptr_t lowest_;
  std::size_t reserve_;  ///< 0: not known where the stack ends
};
[[noreturn]] void throw_nested_too_deep(bool reading);
}  // namespace detail

/// Writes into a given block, or only counts when there is none: first count, then write straight to the final place. A value that
/// is not of the same size both times throws InvalidArgument.
class OutputArchive : public cereal::OutputArchive<OutputArchive, cereal::AllowEmptyClassElision> {
 public:
  OutputArchive() : cereal::OutputArchive<OutputArchive, cereal::AllowEmptyClassElision>(this) {}
  /// A value that holds a reference throws InvalidArgument when there is no list to put it in.
  explicit OutputArchive(std::span<std::byte> target, detail::References* references = nullptr) : OutputArchive() {
    target_ = target, references_ = references, counting_ = false;
  }

  void write(const void* data, std::size_t size) {
    if (!counting_) {
      if (size > target_.size() - position_) detail::throw_changed_size(target_.size());
      copy_bytes(target_.data() + position_, data, size);
    }
    position_ += size;
  }
  /// Pads with zeros to a multiple of `alignment`.
  void align(std::size_t alignment) {
    static constexpr std::byte zeros[64]{};
    write(zeros, (alignment - position_ % alignment) % alignment);
  }
  /// Each object begins with it. Who writes has counted before, just as deep.
  void enter() const {
    if (counting_ && nesting_.too_deep()) detail::throw_nested_too_deep(false);
  }
  std::size_t size() const noexcept { return position_; }
  /// After the last write into a block: it must be full.
  void finish() const {
    if (position_ != target_.size()) detail::throw_changed_size(target_.size());
  }
  /// Writes the place of a reference (null: an empty one) and lists it.
  void reference(detail::ReferenceKind kind, std::shared_ptr<void> target) {
    std::uint32_t place = 0;
    if (target && !counting_) {
      if (!references_)
        throw InvalidArgument("a value with an ObjectRef or ActorHandle inside cannot be kept beyond this run: get what it "
                              "refers to, and keep that");
      references_->push_back({kind, std::move(target)});
      place = static_cast<std::uint32_t>(references_->size());
    }
    write(&place, sizeof place);
  }

 private:
  std::span<std::byte> target_{};
  std::size_t position_ = 0;
  detail::References* references_ = nullptr;
  bool counting_ = true;
  detail::NestingGuard nesting_{};
};

/// Reads from a Buffer, which stays alive as long as anything that was read in place from it.
class InputArchive : public cereal::InputArchive<InputArchive, cereal::AllowEmptyClassElision> {
 public:
  explicit InputArchive(Buffer source, detail::SharedReferences references = nullptr)
      : cereal::InputArchive<InputArchive, cereal::AllowEmptyClassElision>(this),
        source_(std::move(source)), references_(std::move(references)) {}

  void read(void* data, std::size_t size) {
    need(size);
    copy_bytes(data, source_.data() + position_, size);
    position_ += size;
  }
  Buffer read_in_place(std::size_t size) {
    need(size);
    position_ += size;
    return source_.slice(position_ - size, size);
  }
  void align(std::size_t alignment) { skip((alignment - position_ % alignment) % alignment); }
  void skip(std::size_t size) { need(size), position_ += size; }
  std::size_t left() const noexcept { return source_.size() - position_; }
  void need(std::size_t size) const {
    if (size > left())
      throw ProtocolError("a serialised value ends " + std::to_string(size - left()) +
                          " bytes early: it was written by another program or is damaged");
  }
  void enter() const {
    if (nesting_.too_deep()) detail::throw_nested_too_deep(true);
  }
  /// A container says that so many elements follow. Each takes a bit or more, but for those that have nothing to travel.
  void claim(std::size_t elements) {
    constexpr std::size_t kEmptyElements = 1 << 20;
    if (elements > 8 * source_.size() + kEmptyElements - claimed_)
      throw ProtocolError("a serialised value is damaged: its containers claim more elements than it has bytes");
    claimed_ += elements;
  }
  /// Room for so many elements may be made before they are read, to be given back once they were: the bytes that they take, or 0 where it
  /// would be more than 64 MiB that may not be true.
  std::size_t take_room(std::size_t elements, std::size_t each) noexcept {
    if (elements > room_ / each) return 0;
    room_ -= elements * each;
    return elements * each;
  }
  void give_room(std::size_t bytes) noexcept { room_ += bytes; }
  /// A pointer to a shared object: all that have its number are of one type.
  void shared_object(std::uint32_t id, const std::type_info& type) {
    if (*shared_types_.try_emplace(id, &type).first->second != type)
      throw ProtocolError("a serialised value is damaged, or two of its shared pointers of different types (to a base class, or into another's object) "
                          "point to one place, which cannot travel: give both the same type, or send one and find the other from it");
  }
  /// What OutputArchive::reference wrote: null for an empty one.
  std::shared_ptr<void> reference(detail::ReferenceKind kind) {
    std::uint32_t place = 0;
    read(&place, sizeof place);
    if (place == 0) return nullptr;
    if (!references_ || place > references_->size() || (*references_)[place - 1].kind != kind || !(*references_)[place - 1].target)
      throw ProtocolError("a serialised value holds a reference that did not come with it");
    return (*references_)[place - 1].target;
  }

 private:
  Buffer source_;
  detail::SharedReferences references_;
  std::size_t position_ = 0;
  std::size_t claimed_ = 0;
  std::size_t room_ = 64 << 20;
  std::unordered_map<std::uint32_t, const std::type_info*> shared_types_{};
  detail::NestingGuard nesting_{};
};

}  // namespace manta

CEREAL_SETUP_ARCHIVE_TRAITS(manta::InputArchive, manta::OutputArchive)

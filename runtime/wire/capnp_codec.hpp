#pragma once
// CapnpMessage<Schema>: a Cap'n Proto message as a value of Manta's: argument, result, object, or part of another value. It
// travels as flat words and is read in place, also from the shared memory of another process, and never parsed as a whole.
// A header to include by choice: who uses it links Cap'n Proto.
//
//   using Pose = manta::CapnpMessage<robot::Pose>;                   // struct Pose of robot.capnp
//   Pose pose = Pose::build([](robot::Pose::Builder p) { p.setX(1.5); });
//   double x(const Pose& pose) { return pose.read()->getX(); }       // a task
//
// Immutable and thread-safe; copies share the words. Damage is a ProtocolError when the message arrives, or an exception of
// Cap'n Proto's where it is read; never a crash: each read has limits, since a forged message of a few bytes may
// otherwise be walked for ever.
#include <capnp/message.h>
#include <capnp/serialize.h>

#include <memory>
#include <string>
#include <utility>

#include "runtime/base/buffer.hpp"
#include "runtime/base/error.hpp"

namespace manta {

template <class Schema>
class CapnpMessage {
 public:
  static constexpr int kNestingLimit = 64;
  static constexpr std::uint64_t kTraversalFactor = 8;  ///< one read may visit so many times the message's words

  /// One look at the message. Keeps its words alive; what it gives out is valid as long as it lives. Not thread-safe: each
  /// thread takes its own.
  class Reading {
   public:
    /// Requires whole words, aligned to 8. Throws kj::Exception for a table of segments that cannot be true.
    explicit Reading(Buffer words) : words_(std::move(words)), message_(as_words(words_), limits(words_)) {}
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    typename Schema::Reader root() { return message_.template getRoot<Schema>(); }
    /// So that read()->getX() works.
    auto operator->() {
      struct Arrow {
        typename Schema::Reader reader;
        typename Schema::Reader* operator->() noexcept { return &reader; }
      };
      return Arrow{root()};
    }

   private:
    Buffer words_;
    capnp::FlatArrayMessageReader message_;
  };

  /// The message with all fields at their defaults.
  CapnpMessage() : words_(defaults()) {}
  /// Flattens what has been built: one copy.
  explicit CapnpMessage(capnp::MessageBuilder& builder) {
    auto words = std::make_shared<kj::Array<capnp::word>>(capnp::messageToFlatArray(builder));
    const auto bytes = words->asBytes();
    words_ = Buffer(std::move(words), {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()});
  }
  /// Builds a message: `fill` sets the fields of its root.
  template <class Fill>
  static CapnpMessage build(Fill&& fill) {
    capnp::MallocMessageBuilder builder;
    std::forward<Fill>(fill)(builder.initRoot<Schema>());
    return CapnpMessage(builder);
  }
  /// The message in flat words that came from elsewhere. ProtocolError when they are none.
  static CapnpMessage parse(Buffer words) {
    if (reinterpret_cast<std::uintptr_t>(words.data()) % sizeof(capnp::word) != 0) words = Buffer::copy(words.bytes());
    check(words);
    return CapnpMessage(std::move(words), Checked{});
  }

  Reading read() const { return Reading(words_); }
  /// The flat words, table of segments included: what capnp's own FlatArrayMessageReader takes.
  const Buffer& words() const noexcept { return words_; }

  template <class Archive>
  void save(Archive& archive) const {
    archive(words_);
  }
  template <class Archive>
  void load(Archive& archive) {
    Buffer words;
    archive(words);
    *this = parse(std::move(words));
  }

 private:
  struct Checked {};
  CapnpMessage(Buffer words, Checked) : words_(std::move(words)) {}
  static const Buffer& defaults() {
    static const Buffer words = build([](typename Schema::Builder) {}).words();
    return words;
  }

  static kj::ArrayPtr<const capnp::word> as_words(const Buffer& bytes) {
    return {reinterpret_cast<const capnp::word*>(bytes.data()), bytes.size() / sizeof(capnp::word)};
  }
  static capnp::ReaderOptions limits(const Buffer& bytes) {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = kTraversalFactor * (bytes.size() / sizeof(capnp::word)) + 1024;
    options.nestingLimit = kNestingLimit;
    return options;
  }
  static void check(const Buffer& words) {
    if (words.empty() || words.size() % sizeof(capnp::word) != 0)
      throw ProtocolError("a Cap'n Proto message of " + std::to_string(words.size()) + " bytes is not whole words: it is damaged");
    try {
      Reading(words).root();
    } catch (const kj::Exception& e) {
      throw ProtocolError(std::string("a Cap'n Proto message is damaged: ") + e.getDescription().cStr());
    }
  }

  Buffer words_;
};

}  // namespace manta

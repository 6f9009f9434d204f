#pragma once
// What a process knows about the functions that may be called in it, and the record of one call. Internal; see function.hpp.
#include <memory>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "runtime/object_ref.hpp"

namespace manta {
class Context;
}

namespace manta::detail {

class Coroutine;  // async.hpp
struct FunctionEntry;

/// What an actor consists of: its object, once it has been constructed, and its class.
struct ActorObject {
  std::shared_ptr<void> object{};
  const std::type_info* type{nullptr};

  /// Throws ProtocolError when `self` is no actor, or one of another class than `wanted`: bytes that were damaged have said so.
  static void* of(ActorObject* self, const std::type_info& wanted) {
    if (!self || !self->type || (self->type != &wanted && *self->type != wanted)) throw_other_class(self, wanted);
    return self->object.get();
  }
  [[noreturn]] static void throw_other_class(const ActorObject* self, const std::type_info& wanted);
};

/// One invocation to be: the function, its arguments, the cell for its result. Made by the submitting process with typed
/// arguments, or by a worker process from bytes. Owned by shared_ptr; touched by one thread at a time.
class TaskRecord {
 public:
  virtual ~TaskRecord() = default;
  /// Calls the function and settles `out` with what it returned. Exceptions of the function pass through. `instance`: the
  /// actor for a method and for its constructor, which sets it, else null.
  virtual void run(ActorObject* instance, Context& context, Cell& out) = 0;
  /// A function that returns Async<T> is begun instead of run: makes its coroutine. `context` outlives that.
  virtual bool asynchronous() const noexcept { return false; }
  virtual std::unique_ptr<Coroutine> begin(ActorObject* instance, Context& context);
  virtual void encode_arguments(OutputArchive& archive) const = 0;
  /// What the arguments by value take in memory, about; cheap.
  virtual std::uint64_t argument_bytes() const noexcept = 0;
  /// Whether that destroys little, and runs no code of the user's: a destructor may wait, or take long.
  virtual bool releases_quickly() const noexcept = 0;
  virtual void release_arguments() noexcept = 0;

  FunctionEntry* function{nullptr};
  std::shared_ptr<Cell> result{};
  std::vector<std::shared_ptr<Cell>> refs{};  ///< arguments that are objects, in order
  std::unique_ptr<std::vector<std::shared_ptr<Cell>>> more{};  ///< results beyond the first, of a function that returns a tuple
};

/// What a function of void gives. Lives for ever: a runtime with static storage duration ends after most other statics.
const std::shared_ptr<const Void>& no_value() noexcept;

/// What a process knows about a registered function.
struct FunctionEntry {
  std::string (*name)();
  std::shared_ptr<TaskRecord> (*decode)(InputArchive& archive, std::vector<std::shared_ptr<Cell>> refs);
  const TypeOps& (*result_ops)();
  const void* address;      ///< of the invoker: the identity within its module
  std::vector<std::shared_ptr<Cell>> (*make_more)() = nullptr;  ///< cells for results beyond the first
  bool asynchronous = false;    ///< its records are
  /// Of a call for an item of a method's stream: which stream's, 0 when that cannot be told. `record`: null when it has come as bytes.
  std::uint64_t (*stream_of)(const TaskRecord* record, const Buffer& arguments) = nullptr;
  bool (*matches)() = nullptr;  ///< a filter of exceptions (retry.hpp), which cannot be called as a function
  FunctionEntry* next{nullptr};
  std::atomic<const std::shared_ptr<const std::string>*> shared_name{nullptr};  ///< made at first use, kept for ever
};

struct FunctionKey {
  std::uint64_t module = 0;  ///< hash of the build id
  std::uint64_t offset = 0;
  auto operator<=>(const FunctionKey&) const = default;
};

void register_function(FunctionEntry& entry) noexcept;  // at static initialisation: links it into a list, nothing else
const std::shared_ptr<const std::string>& shared_name(FunctionEntry& entry);
FunctionKey function_key(const FunctionEntry& entry);
const FunctionEntry* find_function(FunctionKey key);  // null when this build does not know it
std::uint64_t program_build_id();                     // of the executable, for the hello

/// "int square(int)" or "Counter::add": the template argument as the compiler spells it, without the wrapper.
std::string name_from_pretty_function(std::string_view pretty);
template <auto F>
std::string function_name() {
  return name_from_pretty_function(__PRETTY_FUNCTION__);
}

template <class Record>
constexpr auto stream_of_record() -> decltype(FunctionEntry::stream_of) {
  if constexpr (requires { &Record::stream_of; })
    return &Record::stream_of;
  else
    return nullptr;
}

template <class Record>
struct Registration {
  static inline FunctionEntry entry{.name = &Record::name,
                                    .decode = &Record::decode,
                                    .result_ops = &type_ops<typename Record::Result>,
                                    .address = reinterpret_cast<const void*>(&Record::decode),
                                    .make_more = Record::Results::make_more,
                                    .asynchronous = requires { requires Record::kAsynchronous; },
                                    .stream_of = stream_of_record<Record>()};
  static inline const bool done = (register_function(entry), true);
};

}  // namespace manta::detail

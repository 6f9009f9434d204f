#include "runtime/codec.hpp"

#include "runtime/base/threads.hpp"

namespace manta::detail {

namespace {
/// cereal's own words for a class behind a pointer to its base speak of archives that the user never sees.
const char* remedy(const ErrorInfo& thrown) {
  const auto says = [&](const char* words) { return thrown.remote_type == "cereal::Exception" && thrown.message.find(words) != std::string::npos; };
  if (says("unregistered polymorphic type")) return "Include runtime/polymorphic.hpp, and write CEREAL_REGISTER_TYPE for that class behind it";
  if (says("unregistered polymorphic cast"))
    return "Write cereal::base_class<Base>(this) in the serialize of that class, or CEREAL_REGISTER_POLYMORPHIC_RELATION(Base, Derived)";
  return "Mend that, or do not let such a value leave its process";
}
}  // namespace

void rethrow_from_save(const std::type_info& type) try {
  throw;
} catch (const Error&) {
  throw;
} catch (...) {
  const auto thrown = current_exception_info();
  throw_error({.code = ErrorCode::kTaskError,
               .message = "a value of the type " + demangle(type.name()) + " was to be turned into bytes for another process or the disk, and its save or "
                          "serialize threw " + thrown.remote_type + ": " + thrown.message + ". " + remedy(thrown),
               .remote_type = thrown.remote_type,
               .cause = thrown.cause});
}

void throw_changed_size(std::size_t counted) {
  throw InvalidArgument("a value was counted as " + std::to_string(counted) + " bytes and then wrote another number of them: its save or serialize must "
                        "write the same each time, and nobody may change the value meanwhile");
}

void require_bools(const void* bytes, std::size_t count) {
  const auto* first = static_cast<const unsigned char*>(bytes);
  if (std::any_of(first, first + count, [](unsigned char byte) { return byte > 1; }))
    throw ProtocolError("a serialised value is damaged: a bool is neither true nor false");
}

namespace {
constexpr std::size_t kStackReserve = 256 << 10;  // for what a user's own load or save calls, and the destructors of what was made
}  // namespace

NestingGuard::NestingGuard() noexcept {
  const StackExtent stack = own_stack();
  lowest_ = stack.lowest;
  reserve_ = std::min(kStackReserve, stack.size / 4);
}

void throw_nested_too_deep(bool reading) {
  const std::string end = " nested so deep, or taken apart where so much of the stack is in use already, that this thread's stack is nearly used up: give the "
                          "value less depth (a list as a vector, not as nodes that own the next one), or the thread a larger stack";
  if (reading) throw ProtocolError("a serialised value is damaged, or" + end);
  throw InvalidArgument("a value is" + end);
}

}  // namespace manta::detail

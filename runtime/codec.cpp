#include "runtime/codec.hpp"

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

}  // namespace manta::detail

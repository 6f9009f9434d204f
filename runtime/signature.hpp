#pragma once
// What the compiler knows of a function that was named as a template argument: its parameters, its result, and readable
// refusals for what cannot travel. Internal; compile time only.
#include <string>
#include <type_traits>

#include "runtime/argument.hpp"
#include "runtime/async.hpp"

namespace manta {
class Client;
class Context;
}

namespace manta::detail {

/// Serialisable, and so is what it holds: cereal takes any vector for serialisable, and complains of its elements by itself.
template <class T>
inline constexpr bool kTravels = Serialisable<T>;
template <class T, class A>
inline constexpr bool kTravels<std::vector<T, A>> = kTravels<T>;
template <class T>
inline constexpr bool kTravels<std::optional<T>> = kTravels<T>;
template <class... T>
inline constexpr bool kTravels<std::variant<T...>> = (kTravels<T> && ...);
template <class A, class B>
inline constexpr bool kTravels<std::pair<A, B>> = kTravels<A> && kTravels<B>;
template <class K, class T, class C, class A>
inline constexpr bool kTravels<std::map<K, T, C, A>> = kTravels<K> && kTravels<T>;

template <class T>
constexpr bool check_value_parameter() {
  static_assert(!std::is_lvalue_reference_v<T> || std::is_const_v<std::remove_reference_t<T>>,
                "manta: a remote function takes its parameters as `T` or `const T&`; a `T&` would change a copy in another "
                "place. Return the new value instead.");
  static_assert(!std::is_rvalue_reference_v<T>, "manta: a remote function takes its parameters as `T` or `const T&`, not `T&&`.");
  static_assert(!std::is_pointer_v<std::decay_t<T>>, "manta: a pointer means nothing in another process; pass the value.");
  static_assert(kTravels<std::decay_t<T>>,
                "manta: this parameter's type, or a type that it holds, cannot be serialised. Give it a default constructor and a cereal function: "
                "template <class Archive> void serialize(Archive& a) { a(member, …); }");
  static_assert(std::is_move_constructible_v<std::decay_t<T>>, "manta: a value of this parameter's type can be neither copied nor moved to where the "
                                                               "function runs: give it a move constructor, or take a `const std::unique_ptr<T>&`.");
  return true;
}
template <class T>
constexpr bool check_parameter() {
  if constexpr (std::is_same_v<std::decay_t<T>, Context> || std::is_same_v<std::decay_t<T>, Client>) {
    static_assert(sizeof(std::decay_t<T>*) == 0, "manta: a remote function takes its context as `manta::Context&`, before all other parameters.");
    return true;
  } else {
    return check_value_parameter<T>();
  }
}
template <class R>
constexpr bool check_result() {
  static_assert(!std::is_reference_v<R>, "manta: a remote function returns a value, not a reference.");
  static_assert(kTravels<StoredType<R>>,
                "manta: this result type, or a type that it holds, cannot be serialised. Give it a default constructor and a cereal function: "
                "template <class Archive> void serialize(Archive& a) { a(member, …); }");
  static_assert(std::is_move_constructible_v<StoredType<R>>, "manta: a value of this result type can be neither copied nor moved to where it is kept: "
                                                             "give it a move constructor, or return a std::unique_ptr to it.");
  return true;
}

template <class... T>
struct TypeList {
  static constexpr std::size_t size = sizeof...(T);
};

/// Takes a function type apart: result, class, parameters without a leading Context&.
template <class R, class C, bool WithContext, class... A>
struct SignatureOf {
  using Returned = R;  ///< as written; Async<T> for a coroutine
  using Result = std::remove_cv_t<typename PlainResultOf<R>::type>;  ///< what the caller's ref refers to, as which it fits a parameter
  using Class = C;
  using Parameters = TypeList<A...>;
  static constexpr bool with_context = WithContext;
};
template <class F>
struct Signature {
  static_assert(sizeof(F) == 0, "manta: name a function, a method or a captureless lambda. What a closure captures, pass "
                                "as arguments; of overloads, name one by static_cast; a generic lambda has no signature.");
};
template <class R, class... A>
struct Signature<R (*)(A...)> : SignatureOf<R, void, false, A...> {};
template <class R, class... A>
struct Signature<R (*)(Context&, A...)> : SignatureOf<R, void, true, A...> {};
template <class R, class... A>
struct Signature<R (*)(A...) noexcept> : Signature<R (*)(A...)> {};
#define MANTA_METHOD_SIGNATURE(qualifiers)                                                    \
  template <class R, class C, class... A>                                                     \
  struct Signature<R (C::*)(A...) qualifiers> : SignatureOf<R, C, false, A...> {};            \
  template <class R, class C, class... A>                                                     \
  struct Signature<R (C::*)(Context&, A...) qualifiers> : SignatureOf<R, C, true, A...> {};
MANTA_METHOD_SIGNATURE()
MANTA_METHOD_SIGNATURE(const)
MANTA_METHOD_SIGNATURE(noexcept)
MANTA_METHOD_SIGNATURE(const noexcept)
MANTA_METHOD_SIGNATURE(&)
MANTA_METHOD_SIGNATURE(const&)
MANTA_METHOD_SIGNATURE(& noexcept)
MANTA_METHOD_SIGNATURE(const& noexcept)
#undef MANTA_METHOD_SIGNATURE

/// A method by itself has no object to run on.
template <class Sig>
constexpr bool check_no_method() {
  static_assert(std::is_void_v<typename Sig::Class>, "manta: a method needs its actor: handle.call<&C::m>(…) on what rt.actor<C>().spawn(…) "
                                                     "gave. A task is a function or a captureless lambda.");
  return true;
}

/// A captureless lambda named as a template argument is called through its function pointer.
template <auto F>
constexpr auto callable() {
  if constexpr (std::is_class_v<decltype(F)>) {
    if constexpr (requires { +F; })
      return +F;
    else
      return Signature<decltype(F)>{};
  } else {
    return F;
  }
}

/// Whether A(values…) or A(Context&, values…) is there, with the values as they are given to it.
template <class A, class... Values>
inline constexpr bool kConstructs = std::is_constructible_v<A, Values...> || std::is_constructible_v<A, Context&, Values...>;
/// How a constructor is given a value: to look at, so that it can be given again after a restart. A container of what cannot be copied
/// claims to be copyable: it is moved.
template <class V>
using AsShared = std::conditional_t<std::is_copy_constructible_v<V> && !kCopyable<V>, V, const V&>;
/// ... or where that constructs nothing: what cannot be copied is moved into it.
template <class V>
using AsMoved = std::conditional_t<kCopyable<V>, const V&, V>;

/// What a constructor of A is given for arguments that no signature describes: a string for a literal, for a ref what it refers
/// to, or where only that constructs an A, the ref itself; else the value. The type it results in is a TypeList, or void when
/// nothing constructs an A. `Chosen`: for the arguments before.
template <class A, class Chosen, class... Arguments>
struct ConstructorValues;
template <class A, class... Chosen>
struct ConstructorValues<A, TypeList<Chosen...>> {
  using type = std::conditional_t<kConstructs<A, AsShared<Chosen>...> || kConstructs<A, AsMoved<Chosen>...>, TypeList<Chosen...>, void>;
};
template <class A, class... Chosen, class First, class... Rest>
struct ConstructorValues<A, TypeList<Chosen...>, First, Rest...> : ConstructorValues<A, TypeList<Chosen..., First>, Rest...> {};
template <class A, class... Chosen, class... Rest>
struct ConstructorValues<A, TypeList<Chosen...>, const char*, Rest...> : ConstructorValues<A, TypeList<Chosen..., std::string>, Rest...> {};
template <class A, class... Chosen, class T, class... Rest>
struct ConstructorValues<A, TypeList<Chosen...>, ObjectRef<T>, Rest...> {
  using OfValue = typename ConstructorValues<A, TypeList<Chosen..., T>, Rest...>::type;
  using type = std::conditional_t<!std::is_void_v<OfValue>, OfValue,
                                  typename ConstructorValues<A, TypeList<Chosen..., ObjectRef<T>>, Rest...>::type>;
};
template <class A, class... Chosen, class... Rest>
struct ConstructorValues<A, TypeList<Chosen...>, ObjectRef<void>, Rest...> : ConstructorValues<A, TypeList<Chosen..., ObjectRef<void>>, Rest...> {};

}  // namespace manta::detail

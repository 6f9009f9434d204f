#pragma once
// What a remote function's result becomes: one ref, or of a std::tuple one ref for each element. Internal; compile time.
//
// A function that returns std::tuple<A, B> makes two objects. Its record has the first one's cell as `result` and the others'
// as `more`; an error of the first, whatever its reason, fails the others too.
#include <tuple>

#include "runtime/signature.hpp"

namespace manta::detail {

/// Fails other results with the error of the first.
void share_failure(const std::shared_ptr<Cell>& first, const std::vector<std::shared_ptr<Cell>>& others);

template <class R>
struct ResultsOf {
  static constexpr bool kMany = false;
  static constexpr std::vector<std::shared_ptr<Cell>> (*make_more)() = nullptr;
  using First = StoredType<R>;
  static constexpr bool check() { return check_result<R>(); }
  static void prepare(auto&) {}
  static ObjectRef<R> refs(const auto& record) { return ObjectRef<R>(record.result); }
};

template <class A, class... B>
struct ResultsOf<std::tuple<A, B...>> {
  static constexpr bool kMany = true;
  using First = StoredType<A>;
  static constexpr bool check() { return check_result<A>() && (check_result<B>() && ... && true); }
  static std::vector<std::shared_ptr<Cell>> make_more() { return {std::make_shared<Cell>(type_ops<StoredType<B>>())...}; }

  static void prepare(auto& record) {
    record.more = std::make_unique<std::vector<std::shared_ptr<Cell>>>(make_more());
    share_failure(record.result, *record.more);
  }
  static std::tuple<ObjectRef<A>, ObjectRef<B>...> refs(const auto& record) {
    return refs_from(record, std::index_sequence_for<B...>{});
  }
  static void settle(Cell& first, const std::vector<std::shared_ptr<Cell>>& others, std::tuple<A, B...> values) {
    settle_from(others, values, std::index_sequence_for<B...>{});
    first.set_value(std::make_shared<const A>(std::get<0>(std::move(values))));
  }

 private:
  template <std::size_t... I>
  static auto refs_from(const auto& record, std::index_sequence<I...>) {
    return std::tuple<ObjectRef<A>, ObjectRef<B>...>(ObjectRef<A>(record.result), ObjectRef<B>((*record.more)[I])...);
  }
  template <std::size_t... I>
  static void settle_from(const std::vector<std::shared_ptr<Cell>>& others, std::tuple<A, B...>& values, std::index_sequence<I...>) {
    (others[I]->set_value(std::make_shared<const B>(std::get<I + 1>(std::move(values)))), ...);
  }
};

}  // namespace manta::detail

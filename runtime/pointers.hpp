#pragma once
// Smart pointers, which cereal does not read as Manta needs. Part of codec.hpp. Not thread-safe: one archive, one thread.
#include <cereal/cereal.hpp>
#include <cereal/types/memory.hpp>
#include <memory>
#include <new>
#include <type_traits>
#include <typeinfo>

#include "runtime/archives.hpp"
#include "runtime/base/error.hpp"

namespace manta {

// A shared pointer not by cereal: that takes the number of an object of any type.
template <class T>
  requires(!cereal::traits::has_load_and_construct<T, InputArchive>::value)
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, cereal::memory_detail::PtrWrapper<std::shared_ptr<T>&>& wrapper) {
  std::uint32_t number = 0;
  archive(number);
  const std::uint32_t id = number & ~cereal::detail::msb_32bit;
  if (id != 0) archive.shared_object(id, typeid(T));
  if (number == id) return static_cast<void>(wrapper.ptr = std::static_pointer_cast<T>(archive.getSharedPointer(id)));
  std::shared_ptr<std::remove_const_t<T>> made(cereal::detail::Construct<std::remove_const_t<T>, InputArchive>::load_andor_construct());
  archive.registerSharedPointer(number, made);
  archive(*made);
  wrapper.ptr = std::move(made);
}
// Nor what load_and_construct makes: there a number may be that of an object that is not made yet, and one that is made and then not read
// to its end is not destroyed.
namespace detail {
/// Room for an object, of which `delete` is the end: by the functions that a new and a delete of the class would take.
template <class T>
constexpr bool kOverAligned = alignof(T) > __STDCPP_DEFAULT_NEW_ALIGNMENT__;
template <class T>
T* make_room() {
  constexpr std::align_val_t kAlignment{alignof(T)};
  if constexpr (kOverAligned<T> && requires { T::operator new(sizeof(T), kAlignment); })
    return static_cast<T*>(T::operator new(sizeof(T), kAlignment));
  else if constexpr (requires { T::operator new(sizeof(T)); })
    return static_cast<T*>(T::operator new(sizeof(T)));
  else
    return std::allocator<T>().allocate(1);
}
template <class T>
struct GiveRoomBack {
  void operator()(T* room) const {
    constexpr std::align_val_t kAlignment{alignof(T)};
    if constexpr (kOverAligned<T> && requires { T::operator delete(room, kAlignment); })
      T::operator delete(room, kAlignment);
    else if constexpr (kOverAligned<T> && requires { T::operator delete(room, sizeof(T), kAlignment); })
      T::operator delete(room, sizeof(T), kAlignment);
    else if constexpr (requires { T::operator delete(room); })
      T::operator delete(room);
    else if constexpr (requires { T::operator delete(room, sizeof(T)); })
      T::operator delete(room, sizeof(T));
    else
      std::allocator<T>().deallocate(room, 1);
  }
};
/// `own` is called with the object as soon as it is there.
template <class T, class Own>
void load_and_construct(InputArchive& archive, const Own& own) {
  std::unique_ptr<T, GiveRoomBack<T>> room(make_room<T>());
  cereal::memory_detail::LoadAndConstructLoadWrapper<InputArchive, T> load(room.get(), [&] { own(room.release()); });
  archive(load);
  if (room) throw InvalidArgument(demangle(typeid(T).name()) + "::load_and_construct has made no object: it has to call what it is given for that, once");
}
}  // namespace detail
template <class T>
  requires cereal::traits::has_load_and_construct<T, InputArchive>::value
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, cereal::memory_detail::PtrWrapper<std::shared_ptr<T>&>& wrapper) {
  std::uint32_t number = 0;
  archive(number);
  const std::uint32_t id = number & ~cereal::detail::msb_32bit;
  if (id != 0) archive.shared_object(id, typeid(T));
  if (number == id) try {
      return static_cast<void>(wrapper.ptr = std::static_pointer_cast<T>(archive.getSharedPointer(id)));
    } catch (const cereal::Exception&) {
      throw ProtocolError("a serialised value is damaged, or what " + demangle(typeid(T).name()) +
                          "::load_and_construct reads points back to the object that is being made: read that after it calls `construct`");
    }
  using Made = std::remove_const_t<T>;
  detail::load_and_construct<Made>(archive, [&](Made* object) {
    wrapper.ptr = std::shared_ptr<Made>(object);
    archive.registerSharedPointer(number, std::const_pointer_cast<Made>(wrapper.ptr));
  });
}
template <class T, class Deleter>
  requires cereal::traits::has_load_and_construct<T, InputArchive>::value
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, cereal::memory_detail::PtrWrapper<std::unique_ptr<T, Deleter>&>& wrapper) {
  bool there = false;
  archive(there);
  wrapper.ptr.reset();
  if (there) detail::load_and_construct<std::remove_const_t<T>>(archive, [&](auto* object) { wrapper.ptr.reset(object); });
}

}  // namespace manta

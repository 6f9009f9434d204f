#pragma once
// Pointers to a base class as arguments, results and objects: a std::shared_ptr<Shape> or std::unique_ptr<Shape> arrives as the Circle that
// it points to. Include this before CEREAL_REGISTER_TYPE is written, in a file that every process of the program has:
//
//   #include "runtime/polymorphic.hpp"
//   struct Circle : Shape {
//     template <class Archive>
//     void serialize(Archive& archive) { archive(cereal::base_class<Shape>(this), radius); }
//     …
//   };
//   CEREAL_REGISTER_TYPE(Circle)   // outside of all namespaces, with the whole name of the class
//
// A class that is not registered is a TaskError where it is turned into bytes. A class without base_class in its serialize names its base
// by CEREAL_REGISTER_POLYMORPHIC_RELATION(Shape, Circle). What runs in one process is not turned into bytes and needs none of this.
#include <cereal/types/polymorphic.hpp>

#include "runtime/codec.hpp"

CEREAL_REGISTER_ARCHIVE(manta::OutputArchive)
CEREAL_REGISTER_ARCHIVE(manta::InputArchive)

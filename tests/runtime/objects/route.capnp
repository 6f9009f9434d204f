@0xd3a1b5c2f7e84961;
# What the tests of Cap'n Proto messages as values send around.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("manta_test");

struct Route {
  name @0 :Text;
  points @1 :List(Float64);
  next @2 :Route;
  speed @3 :Float32 = 1.5;
}

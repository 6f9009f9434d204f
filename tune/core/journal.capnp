@0xf348f82223ad39d9;
# One record of an experiment's journal: one event (tune/core/events.hpp has the meaning of each).
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("manta::tune::schema");

struct Record {
  timeMs @0 :Int64;
  union {
    experimentCreated @1 :ExperimentCreated;
    sessionStarted @2 :SessionStarted;
    trialCreated @3 :TrialCreated;
    trialStarted @4 :TrialStarted;
    trialReported @5 :TrialReported;
    trialCheckpointed @6 :TrialCheckpointed;
    trialFinished @7 :TrialFinished;
    trialFailed @8 :TrialFailed;
    schedulerIdle @9 :Void;
    trialTimedOut @10 :TrialTimedOut;
    experimentStopped @11 :ExperimentStopped;
  }
}

struct ExperimentCreated {
  name @0 :Text;
  seed @1 :UInt64;
  description @2 :List(Item);
  struct Item {
    key @0 :Text;
    value @1 :Text;
  }
}

struct SessionStarted {
  pid @0 :Int64;
}

struct TrialCreated {
  trial @0 :UInt32;
  tag @1 :Text;
  config @2 :List(Entry);
}

struct Entry {
  name @0 :Text;
  value @1 :Value;
}

struct Value {
  union {
    none @0 :Void;
    boolean @1 :Bool;
    integer @2 :Int64;
    number @3 :Float64;
    text @4 :Text;
    list @5 :List(Value);
    table @6 :List(Entry);
  }
}

struct TrialStarted {
  trial @0 :UInt32;
  fromIteration @1 :UInt64;
}

struct TrialReported {
  trial @0 :UInt32;
  iteration @1 :UInt64;
  metrics @2 :List(Metric);
  timeThisIterS @3 :Float64;
  checkpoint @4 :Text;
  pid @5 :Int64;
  checkpointBytes @6 :UInt64;
  struct Metric {
    name @0 :Text;
    value @1 :Float64;
  }
}

struct TrialCheckpointed {
  trial @0 :UInt32;
  iteration @1 :UInt64;
  checkpoint @2 :Text;
  checkpointBytes @3 :UInt64;
}

struct TrialFinished {
  trial @0 :UInt32;
}

struct TrialFailed {
  trial @0 :UInt32;
  error @1 :Text;
  forGood @2 :Bool;
}

struct TrialTimedOut {
  trial @0 :UInt32;
  reason @1 :Text;
}

struct ExperimentStopped {
  reason @0 :Text;
}

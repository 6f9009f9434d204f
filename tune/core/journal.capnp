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
    experimentSnapshot @12 :ExperimentSnapshot;
    trialSnapshot @13 :TrialSnapshot;
    trialDecided @14 :TrialDecided;
    trialBegun @15 :TrialBegun;
  }
}

struct ExperimentCreated {
  name @0 :Text;
  seed @1 :UInt64;
  description @2 :List(Item);
  rules @3 :UInt32;
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
  waits @2 :Bool;
}

struct TrialBegun {
  trial @0 :UInt32;
}

struct TrialReported {
  trial @0 :UInt32;
  iteration @1 :UInt64;
  metrics @2 :List(Metric);
  timeThisIterS @3 :Float64;
  checkpoint @4 :Text;
  pid @5 :Int64;
  checkpointBytes @6 :UInt64;
}

struct Metric {
  name @0 :Text;
  value @1 :Float64;
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
  retries @3 :UInt8;   # 0: follows from max_failures, as older versions had it; 1: runs again; 2: does not
}

struct TrialTimedOut {
  trial @0 :UInt32;
  reason @1 :Text;
}

struct ExperimentStopped {
  reason @0 :Text;
}

struct ExperimentSnapshot {
  workedMs @0 :Int64;
  exhausted @1 :Bool;
  stoppedBy @2 :Text;
  checkpointsMade @3 :UInt64;
  searcher @4 :Data;
  scheduler @5 :Data;
  stopper @6 :Data;
}

struct TrialSnapshot {
  trial @0 :UInt32;
  tag @1 :Text;
  exploitTag @2 :Text;
  config @3 :List(Entry);
  state @4 :UInt8;
  timedOut @5 :Bool;
  attempts @6 :UInt32;
  failures @7 :UInt32;
  exploits @8 :UInt32;
  iteration @9 :UInt64;
  results @10 :UInt64;
  timeTotalS @11 :Float64;
  timeRunningS @12 :Float64;
  runningSinceMs @13 :Int64;
  pid @14 :Int64;
  error @15 :Text;
  last @16 :List(Metric);
  ranges @17 :List(Range);
  checkpoints @18 :List(Checkpoint);
  cloned @19 :Cloned;
  resources @20 :Resources;
  resultConfig @21 :List(Entry);
  resultIteration @22 :UInt64;
  resultTimeTotalS @23 :Float64;
  copyOnly @24 :Bool;
  struct Range {
    name @0 :Text;
    last @1 :Float64;
    min @2 :Float64;
    max @3 :Float64;
  }
  struct Checkpoint {
    iteration @0 :UInt64;
    name @1 :Text;
    scored @2 :Bool;
    score @3 :Float64;
    bytes @4 :UInt64;
    order @5 :UInt64;
  }
  struct Cloned {
    donor @0 :UInt32;
    donorName @1 :Text;
    name @2 :Text;
  }
}

# Amounts are in units of 1/10000, as the runtime counts them.
struct Resources {
  numCpus @0 :Int64;
  numGpus @1 :Int64;
  custom @2 :List(Amount);
  workers @3 :List(Amount);
  bundles @4 :List(Bundle);
  strategy @5 :UInt8;
  struct Amount {
    name @0 :Text;
    raw @1 :Int64;
  }
  struct Bundle {
    numCpus @0 :Int64;
    numGpus @1 :Int64;
    memoryBytes @2 :UInt64;
    custom @3 :List(Amount);
  }
}

# Records that a compaction has taken out of the journal, packed: the history beside it is made of these.
struct HistoryChunk {
  first @0 :UInt64;          # number of the first one in the journal
  records @1 :List(Data);
}

struct TrialDecided {
  trial @0 :UInt32;
  state @1 :UInt8;
  rung @2 :Float64;
  changed @3 :Bool;
  iteration @4 :UInt64;
  config @5 :List(Entry);
  tag @6 :Text;
  error @7 :Text;
  timeTotalS @8 :Float64;
  exploits @9 :UInt32;
  cloned @10 :TrialSnapshot.Cloned;
}

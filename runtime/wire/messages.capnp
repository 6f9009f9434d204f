@0xc2b1f0a7d93e5a41;
# What processes of one run say to each other. Each frame holds one Message. Fields are only ever added.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("manta::wire::schema");

struct Value {
  union {
    inline @0 :Data;
    stored :group { id @1 :UInt64; size @2 :UInt64; }
  }
  refs @3 :List(Reference);  # what it refers to, in the order of their places in the bytes
}
struct Reference {
  id @0 :UInt64;
  kind @1 :UInt8;            # ReferenceKind of the code
  name @2 :Text;             # an actor's, for messages; so what follows
  maxPendingCalls @3 :Int32; # 0: no limit
  serial @4 :Bool;
  groups @5 :List(Text);
}
struct Error {
  code @0 :UInt16;
  message @1 :Text;
  where @2 :Text;
  remoteType @3 :Text;
  cause @4 :Error;
  leftOut @5 :UInt32;        # links that stood between it and its cause
  didNotRun @6 :Bool;
}
struct Task {
  id @0 :UInt64;
  module @1 :UInt64;
  offset @2 :UInt64;
  name @3 :Text;
  attempt @4 :UInt32;
  arguments @5 :Value;
  refs @6 :List(Value);
  retryModule @7 :UInt64;  # the filter of exceptions after which it may run again; 0: none
  retryOffset @8 :UInt64;
  group @9 :Text;          # of a call: the concurrency group that the caller named
  losses @10 :UInt32;      # of a call: the last that its caller has had of its actor's place (Outcome)
}
struct Method { module @0 :UInt64; offset @1 :UInt64; }
struct ConcurrencyGroup { name @0 :Text; limit @1 :UInt32; methods @2 :List(Method); }
struct LeaseInfo {
  id @0 :UInt64;
  cpus @1 :Int64;          # 1/10000
  gpuIds @2 :List(Int32);
  lendIdleCpus @3 :Bool;
}
struct Amount { name @0 :Text; raw @1 :Int64; }
struct Variable { name @0 :Text; value @1 :Text; }
struct Outcome {
  id @0 :UInt64;
  nanoseconds @1 :Int64;
  union {
    value @2 :Value;
    error @3 :Error;
    unstarted @4 :Void;
  }
  more @6 :List(Value);    # results beyond the first
  retry @5 :Bool;          # an error of the task's own, after which it may run again
  lost @7 :UInt64;           # an error: the stored argument that could not be read
  losses @8 :UInt32;         # of a call that comes back, lost or unstarted: how many of its caller's were lost there
}

struct Hello {
  process @0 :UInt32;
  buildId @1 :UInt64;
  inlineBytes @2 :UInt64;
  total @3 :List(Amount);
  cpusPerWorker @4 :Int64;
  maxQueuedBytes @5 :UInt64;
  submitTimeoutMs @6 :Int64;
  lineageBytes @7 :UInt64;
}
struct Ready { buildId @0 :UInt64; }
struct WantLeases {
  purpose @0 :UInt64;
  count @1 :UInt32;
  cpus @2 :Int64;
  gpus @3 :Int64;
  custom @4 :List(Amount);
  ownProcess @5 :Bool;
  name @6 :Text;
  environment @7 :List(Variable);
  logFile @8 :Text;
  echo @9 :Bool;
  group @10 :UInt64;       # 0: the machine itself
  bundle @11 :Int32 = -1;
  retriable @12 :Bool;
}
struct LeaseGranted { purpose @0 :UInt64; lease @1 :LeaseInfo; worker @2 :UInt32; }
struct LeaseRefused { purpose @0 :UInt64; error @1 :Error; }
struct LeaseLost { lease @0 :UInt64; error @1 :Error; ownDoing @2 :Bool; shared @3 :Bool; unused @4 :Bool; }
struct ReleaseLease { lease @0 :UInt64; kill @1 :Bool; terminate @2 :Bool; }
struct SetBlocked { lease @0 :UInt64; blocked @1 :Bool; }
struct RunTasks { owner @0 :UInt32; lease @1 :LeaseInfo; tasks @2 :List(Task); }
struct TasksDone { lease @0 :UInt64; outcomes @1 :List(Outcome); heldUp @2 :Bool; }
struct CreateActor { owner @0 :UInt32; actor @1 :UInt64; lease @2 :LeaseInfo; name @3 :Text; constructor @4 :Task;
  maxConcurrency @5 :UInt32 = 1;
  groups @6 :List(ConcurrencyGroup);
  maxCoroutines @7 :UInt32 = 1000;
}
struct ActorCreated { actor @0 :UInt64; lease @1 :UInt64; outcome @2 :Outcome; }
struct CallActor { actor @0 :UInt64; calls @1 :List(Task); }
struct ActorDone { actor @0 :UInt64; outcomes @1 :List(Outcome); }
struct DestroyActor { actor @0 :UInt64; kill @1 :Bool; }
struct ActorDestroyed { actor @0 :UInt64; exited @1 :Bool; }
struct CancelWork { lease @0 :UInt64; actor @1 :UInt64; tasks @2 :List(UInt64); recursive @3 :Bool; }
struct OwnerGone { owner @0 :UInt32; }
struct ReferenceUpdate {
  operation @0 :UInt8;       # ReferenceOperation of the code
  id @1 :UInt64;
  process @2 :UInt32;
  units @3 :Int64;
}
struct StoreRequest {
  request @0 :UInt64;      # 0: no answer is wanted
  id @1 :UInt64;
  size @2 :UInt64;
  owner @3 :UInt32;
  operation @4 :UInt8;     # StoreOperation of the code
}
struct StoreReply {
  request @0 :UInt64;
  id @1 :UInt64;
  extent @2 :UInt32;
  offset @3 :UInt64;
  size @4 :UInt64;
  extentBytes @5 :UInt64;
  error @6 :Error;
  retired @7 :List(UInt32);
}
struct DurableRequest {
  request @0 :UInt64;
  operation @1 :UInt8;     # DurableOperation of the code
  name @2 :Text;           # of list: the prefix
  typeTag @3 :Text;
  value @4 :Value;
  after @5 :Text;          # of list: names behind this one
}
struct DurableReply {
  request @0 :UInt64;
  value @1 :Value;
  names @2 :List(Text);
  more @3 :Bool;           # of list: names are left; ask for those after the last one
  error @4 :Error;
}
struct Orphans { objects @0 :List(UInt64); }
struct Bundle { cpus @0 :Int64; gpus @1 :Int64; custom @2 :List(Amount); }  # 1/10000
struct Group {
  id @0 :UInt64;
  name @1 :Text;
  strategy @2 :UInt8;
  bundles @3 :List(Bundle);
  placed @4 :Bool;
  free @5 :List(Bundle);   # of each bundle, once it is placed: all in `custom`
}
struct GroupNews { group @0 :UInt64; error @1 :Error; }
struct FindGroups { request @0 :UInt64; name @1 :Text; }
struct Groups { request @0 :UInt64; groups @1 :List(Group); }
struct Resources { request @0 :UInt64; total @1 :List(Amount); available @2 :List(Amount); }

struct ActorRequest { actor @0 :UInt64; operation @1 :UInt8; request @2 :UInt64; }  # ActorOperation of the code
struct ActorPlace {
  actor @0 :UInt64;
  state @1 :UInt8;         # ActorState of the code
  lease @2 :UInt64;
  worker @3 :UInt32;
  error @4 :Error;
  maxTaskRetries @5 :Int32;
  unordered @6 :Bool;
  creationFailed @7 :Bool;
}
struct ActorWaiting { waiter @0 :UInt64; target @1 :UInt64; what @2 :Text; round @3 :UInt64; }
struct DeadlockFound { waiter @0 :UInt64; error @1 :Error; round @2 :UInt64; }
struct ActorLent { request @0 :UInt64; value @1 :Value; }
struct NameRequest {
  request @0 :UInt64;
  operation @1 :UInt8;     # NameOperation of the code
  name @2 :Text;
  actor @3 :UInt64;
  type @4 :Method;
  typeName @5 :Text;
}
struct NameReply { request @0 :UInt64; actor @1 :UInt64; error @2 :Error; }
struct ExplainRequest { request @0 :UInt64; reference @1 :UInt64; }
struct ExplainReply { request @0 :UInt64; text @1 :Text; }

struct Message {
  union {
    hello @0 :Hello;
    ready @1 :Ready;
    wantLeases @2 :WantLeases;
    leaseGranted @3 :LeaseGranted;
    leaseRefused @4 :LeaseRefused;
    leaseLost @5 :LeaseLost;
    releaseLease @6 :ReleaseLease;
    setBlocked @7 :SetBlocked;
    runTasks @8 :RunTasks;
    tasksDone @9 :TasksDone;
    createActor @10 :CreateActor;
    actorCreated @11 :ActorCreated;
    callActor @12 :CallActor;
    actorDone @13 :ActorDone;
    destroyActor @14 :DestroyActor;
    actorDestroyed @15 :ActorDestroyed;
    ownerGone @16 :OwnerGone;
    storeRequest @17 :StoreRequest;
    storeReply @18 :StoreReply;
    resources @19 :Resources;
    shutdown @20 :Void;
    cancelWork @21 :CancelWork;
    durableRequest @22 :DurableRequest;
    durableReply @23 :DurableReply;
    orphans @24 :Orphans;
    references @25 :List(ReferenceUpdate);
    objectSettled @26 :Outcome;
    retire @27 :Void;
    actorRequest @28 :ActorRequest;
    actorPlace @29 :ActorPlace;
    actorLent @30 :ActorLent;
    nameRequest @31 :NameRequest;
    nameReply @32 :NameReply;
    actorWaiting @33 :ActorWaiting;
    deadlockFound @34 :DeadlockFound;
    placeGroup @35 :Group;
    watchGroup @36 :UInt64;
    groupPlaced @37 :GroupNews;
    removeGroup @38 :UInt64;
    groupRemoved @39 :GroupNews;
    findGroups @40 :FindGroups;
    groups @41 :Groups;
    explainRequest @42 :ExplainRequest;
    explainReply @43 :ExplainReply;
  }
}

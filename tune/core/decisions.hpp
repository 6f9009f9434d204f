#pragma once
// What the machine made of an event, as records for those who read a journal without a searcher and a scheduler. Pure.
#include <map>
#include <vector>

#include "tune/core/machine.hpp"

namespace manta::tune {

/// In the order in which they are to follow the event's record. Nothing for an event that says all by itself.
std::vector<TrialDecided> decisions_of(const ExperimentMachine& machine, const EventBody& event, const Effects& effects);

/// Keeps in mind what a journal's reader believes of each trial's state.
void note_told(const EventBody& event, std::map<TrialIndex, TrialState>& told);
/// The trials that are over or paused and of which no reader knows: the driver was killed before it could write it down.
std::vector<TrialDecided> decisions_untold(const ExperimentMachine& machine, const std::map<TrialIndex, TrialState>& told);

}  // namespace manta::tune

// A search space in JSON. What is read is written and reads as the same space; its first configurations are drawn and encoded.
#include "runtime/errors.hpp"
#include "tune/searchers/encoding.hpp"
#include "tune/searchers/searcher.hpp"
#include "tune/space_json.hpp"

namespace {

using namespace manta::tune;

void draw(const Space& space) {
  const auto searcher = random_search().make({.space = space, .num_samples = 2, .seed = 7});
  std::vector<Config> made;
  for (TrialIndex trial = 0; trial < 2; ++trial) made.push_back(searcher->suggest(trial).config);
  const ParameterEncoding encoding(space);  // of a space without grids
  Random random(7);
  for (const Config& config : made) {
    std::vector<double> point = encoding.encode(config);  // of an option that is none NaN
    encoding.complete(point, random);
    (void)encoding.decode(point);
  }
  for (const Dimension& dimension : encoding.dimensions())
    for (const double unit : {0.0, 0.5, 1.0}) (void)dimension.cell_of(dimension.snapped(unit));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const Space space = space_from_json({reinterpret_cast<const char*>(data), size});
    const std::string text = space_to_json(space);
    const Space again = space_from_json(text);
    MANTA_CHECK(again.describe() == space.describe());
    MANTA_CHECK(space_to_json(again) == text);
    draw(space);
  } catch (const manta::InvalidArgument&) {
  }
  return 0;
}

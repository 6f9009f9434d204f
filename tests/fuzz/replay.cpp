// Runs a fuzz target over its corpus without libFuzzer: each file as it is, cut, and with bits flipped by a seeded generator.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kDamagedPerFile = 300;
using Bytes = std::vector<std::uint8_t>;

Bytes content(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void run(const Bytes& bytes) {
  const Bytes exact(bytes.begin(), bytes.end());  // without spare room, so that a sanitizer sees a read behind the end
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

Bytes damaged(Bytes bytes, std::mt19937& random) {
  if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
  if (random() % 4 == 0) bytes.insert(bytes.end(), random() % 17, static_cast<std::uint8_t>(random()));
  for (auto flips = bytes.empty() ? 0 : random() % 4; flips; --flips)
    bytes[random() % bytes.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  int files = 0;
  for (int i = 1; i < argc; ++i)
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      const Bytes bytes = content(entry.path());
      std::mt19937 random(static_cast<unsigned>(bytes.size()));
      run(bytes);
      for (int n = 0; n < kDamagedPerFile; ++n) run(damaged(bytes, random));
      ++files;
    }
  std::printf("%d files, each as it is and damaged in %d ways\n", files, kDamagedPerFile);
  return files > 0 ? 0 : 1;
}

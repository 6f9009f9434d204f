#include <fmt/format.h>

#include "train/data.hpp"
#include "train/datasets/file_bytes.hpp"

namespace manta::train {
namespace {

constexpr std::size_t kSide = 32;
constexpr std::size_t kImageBytes = 3 * kSide * kSide;
constexpr std::size_t kRecordBytes = 1 + kImageBytes;
constexpr std::size_t kRecordsPerFile = 10000;
constexpr std::uint8_t kClasses = 10;
constexpr const char* kAdvice =
    "CIFAR-10's binary version (cifar-10-binary.tar.gz) unpacks to the folder cifar-10-batches-bin with "
    "data_batch_1.bin … data_batch_5.bin and test_batch.bin; pass that folder";

/// Adds the file's records to `set`: a label byte, then 1,024 bytes each of red, green and blue.
Result<void> append_file(const std::filesystem::path& file, ImageSet& set) {
  auto bytes = detail::read_file(file, kRecordBytes * kRecordsPerFile, kAdvice);
  if (!bytes) return bytes.error();
  if (bytes->size() != kRecordBytes * kRecordsPerFile) {
    return detail::damaged(file, fmt::format("it has {} bytes, not {}", bytes->size(), kRecordBytes * kRecordsPerFile));
  }
  for (std::size_t i = 0; i < kRecordsPerFile; ++i) {
    const std::uint8_t* record = &(*bytes)[i * kRecordBytes];
    if (record[0] >= kClasses) return detail::damaged(file, fmt::format("record {} has label {}", i, record[0]));
    set.labels.push_back(record[0]);
    set.pixels.insert(set.pixels.end(), record + 1, record + kRecordBytes);
  }
  return {};
}

ImageSet load_files(const std::filesystem::path& dir, const std::vector<std::string>& names) {
  ImageSet set{.channels = 3, .height = kSide, .width = kSide};
  set.pixels.reserve(names.size() * kRecordsPerFile * kImageBytes);
  for (const std::string& name : names) append_file(dir / name, set).value();
  return set;
}

}  // namespace

ImageDataset load_cifar10(const std::filesystem::path& dir) {
  return {.train = load_files(dir, {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                                    "data_batch_5.bin"}),
          .test = load_files(dir, {"test_batch.bin"}),
          .classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}};
}

}  // namespace manta::train

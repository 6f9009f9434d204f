#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "train/datasets/idx.hpp"

namespace manta::train {
namespace {

constexpr std::size_t kSide = 28;
constexpr std::uint8_t kClasses = 10;
constexpr const char* kAdvice =
    "Fashion-MNIST comes with the Debian package dataset-fashion-mnist (apt-get install dataset-fashion-mnist puts it "
    "into /usr/share/datasets/fashion-mnist); pass the folder of its four files";

struct Part {
  const char* prefix;
  std::size_t images;
  std::uint32_t image_crc32;  ///< CRC-32 of the published file, unpacked
  std::uint32_t label_crc32;
};
constexpr Part kTrain{"train", 60000, 0xb4f29f28, 0x741a4657};
constexpr Part kTest{"t10k", 10000, 0x678fe0b1, 0x80142c1f};

Result<IdxArray> read_checked(const std::filesystem::path& dir, const std::string& name, std::uint32_t crc,
                              const std::vector<std::size_t>& dims) {
  auto array = detail::read_idx(dir, name, crc, kAdvice);
  if (array && array->dims != dims) {
    return detail::damaged(dir / name, fmt::format("it holds {} items of {} dimensions, not {}", array->dims[0],
                                                   array->dims.size() - 1, dims[0]));
  }
  return array;
}

Result<ImageSet> read_part(const std::filesystem::path& dir, const Part& part) {
  const std::string prefix = part.prefix;
  auto images = read_checked(dir, prefix + "-images-idx3-ubyte", part.image_crc32, {part.images, kSide, kSide});
  if (!images) return images.error();
  const std::string label_name = prefix + "-labels-idx1-ubyte";
  auto labels = read_checked(dir, label_name, part.label_crc32, {part.images});
  if (!labels) return labels.error();
  if (*std::max_element(labels->bytes.begin(), labels->bytes.end()) >= kClasses) {
    return detail::damaged(dir / label_name, "it holds a label above 9");
  }
  return ImageSet{1, kSide, kSide, std::move(images->bytes), std::move(labels->bytes)};
}

}  // namespace

ImageDataset load_fashion_mnist(const std::filesystem::path& dir) {
  return {.train = read_part(dir, kTrain).value(),
          .test = read_part(dir, kTest).value(),
          .classes = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                      "Ankle boot"}};
}

ImageSet ImageSet::slice(std::size_t first, std::size_t last) const {
  const auto at = [](const auto& bytes, std::size_t i) { return bytes.begin() + static_cast<std::ptrdiff_t>(i); };
  return {channels, height, width,
          {at(pixels, first * image_bytes()), at(pixels, last * image_bytes())},
          {at(labels, first), at(labels, last)}};
}

}  // namespace manta::train

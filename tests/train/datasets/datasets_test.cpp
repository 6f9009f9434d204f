// Damaged data files: every cut and every flipped bit of a small file must be noticed, and the message must name it.
#include <zlib.h>

#include <cstdlib>
#include <fstream>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "train/data.hpp"
#include "train/datasets/idx.hpp"

namespace fs = std::filesystem;
using namespace manta;
using train::detail::Bytes;

namespace {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (fs::temp_directory_path() / "manta-data-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() { fs::remove_all(path_); }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void write(const fs::path& file, const Bytes& bytes) {
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()),
                                              static_cast<std::streamsize>(bytes.size()));
}

/// Two images of 2 × 3.
Bytes small_idx() {
  Bytes bytes{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3};
  for (std::uint8_t i = 0; i < 12; ++i) bytes.push_back(static_cast<std::uint8_t>(i * 20));
  return bytes;
}

Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes out(deflateBound(&stream, static_cast<uLong>(bytes.size())));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// Loading must fail with StorageCorruption and name the file.
void check_damaged(const fs::path& file) {
  try {
    train::load_idx(file);
    FAIL("a damaged file was read: " << file.string());
  } catch (const StorageCorruption& e) {
    CHECK(std::string(e.what()).find(file.string()) != std::string::npos);
  }
}

template <class F>
std::string message_of(ErrorCode code, F&& f) {
  try {
    f();
  } catch (const Error& e) {
    CHECK(e.code() == code);
    return e.what();
  }
  FAIL("no error");
  return {};
}

}  // namespace

TEST_SUITE("train/datasets") {
  TEST_CASE("an IDX file is read with and without gzip") {
    const TempDir dir;
    write(dir / "plain", small_idx());
    write(dir / "packed.gz", gzip(small_idx()));
    for (const char* name : {"plain", "packed.gz"}) {
      const train::IdxArray array = train::load_idx(dir / name);
      CHECK(array.dims == std::vector<std::size_t>{2, 2, 3});
      CHECK(array.bytes.size() == 12);
      CHECK(array.bytes[11] == 220);
    }
  }

  TEST_CASE("an IDX file cut at any byte, or with bytes added, is refused") {
    const TempDir dir;
    for (const Bytes& whole : {small_idx(), gzip(small_idx())}) {
      for (std::size_t length = 0; length < whole.size(); ++length) {
        write(dir / "cut", Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
        check_damaged(dir / "cut");
      }
      Bytes longer = whole;
      longer.push_back(0);
      write(dir / "longer", longer);
      check_damaged(dir / "longer");
    }
  }

  TEST_CASE("a flipped bit anywhere in a gzipped file is refused or changes nothing") {
    const TempDir dir;
    const Bytes whole = gzip(small_idx());
    const Bytes plain = small_idx();
    const Bytes pixels(plain.begin() + 16, plain.end());
    int refused = 0;
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      Bytes bad = whole;
      bad[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
      write(dir / "flipped", bad);
      try {  // the time stamp in the header, and the padding after the last block, say nothing about the content
        const train::IdxArray array = train::load_idx(dir / "flipped");
        CHECK(array.bytes == pixels);
      } catch (const StorageCorruption& e) {
        ++refused;
        CHECK(std::string(e.what()).find("flipped") != std::string::npos);
      }
    }
    CHECK(refused > static_cast<int>(whole.size() - 10) * 8 - 8);
  }

  TEST_CASE("a flipped bit in a plain header is refused") {
    const TempDir dir;
    for (std::size_t bit = 0; bit < 16 * 8; ++bit) {
      Bytes bad = small_idx();
      bad[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
      write(dir / "flipped", bad);
      check_damaged(dir / "flipped");
    }
  }

  TEST_CASE("a header that promises more than memory holds is refused before anything is allocated") {
    const TempDir dir;
    Bytes bad = small_idx();
    for (std::size_t i = 4; i < 16; ++i) bad[i] = 0xff;
    write(dir / "huge", bad);
    check_damaged(dir / "huge");
  }

  TEST_CASE("a plain file whose content is not what was published is refused by its CRC") {
    const TempDir dir;
    const Bytes whole = small_idx();
    const auto crc = static_cast<std::uint32_t>(crc32(0, whole.data(), static_cast<uInt>(whole.size())));
    write(dir / "images", whole);
    CHECK(train::detail::read_idx(dir.path(), "images", crc, "").ok());
    Bytes bad = whole;
    bad.back() ^= 1;
    write(dir / "images", bad);
    const auto result = train::detail::read_idx(dir.path(), "images", crc, "");
    REQUIRE(!result.ok());
    CHECK(result.error().code == ErrorCode::kStorageCorruption);
  }

  TEST_CASE("a missing Fashion-MNIST file is named with the Debian package that has it") {
    const TempDir dir;
    const auto text = message_of(ErrorCode::kInvalidArgument, [&] { train::load_fashion_mnist(dir.path()); });
    CHECK(text.find("train-images-idx3-ubyte.gz") != std::string::npos);
    CHECK(text.find("apt-get install dataset-fashion-mnist") != std::string::npos);
  }

  TEST_CASE("a valid IDX file of another size is not taken for Fashion-MNIST") {
    const TempDir dir;
    write(dir / "train-images-idx3-ubyte.gz", gzip(small_idx()));
    const auto text = message_of(ErrorCode::kStorageCorruption, [&] { train::load_fashion_mnist(dir.path()); });
    CHECK(text.find("train-images-idx3-ubyte") != std::string::npos);
  }

  TEST_CASE("a folder in a file's place gives an error, not a crash") {
    const TempDir dir;
    fs::create_directory(dir / "train-images-idx3-ubyte.gz");
    CHECK_THROWS_AS(train::load_fashion_mnist(dir.path()), Error);
  }

  TEST_CASE("Fashion-MNIST of the Debian package is whole" *
            doctest::skip(!fs::exists("/usr/share/datasets/fashion-mnist"))) {
    const auto data = train::load_fashion_mnist("/usr/share/datasets/fashion-mnist");
    CHECK(data.train.size() == 60000);
    CHECK(data.test.size() == 10000);
    CHECK(data.train.pixels.size() == 60000u * 784);
    std::vector<int> counts(10);
    for (const auto label : data.train.labels) ++counts[label];
    CHECK(counts == std::vector<int>(10, 6000));
    CHECK(data.train.slice(10, 12).image(1)[400] == data.train.image(11)[400]);
  }

  TEST_CASE("CIFAR-10 files are read in order and every wrong size or label is refused") {
    const TempDir dir;
    constexpr std::size_t kRecord = 3073;
    Bytes file(10000 * kRecord);
    for (std::size_t i = 0; i < 10000; ++i) file[i * kRecord] = static_cast<std::uint8_t>(i % 10);
    for (int i = 1; i <= 5; ++i) {
      file[1] = static_cast<std::uint8_t>(i);  // the first pixel says which file it is
      write(dir / ("data_batch_" + std::to_string(i) + ".bin"), file);
    }
    CHECK(message_of(ErrorCode::kInvalidArgument, [&] { train::load_cifar10(dir.path()); }).find("test_batch.bin") !=
          std::string::npos);
    write(dir / "test_batch.bin", file);
    const auto data = train::load_cifar10(dir.path());
    CHECK(data.train.size() == 50000);
    CHECK(data.test.size() == 10000);
    CHECK(data.train.image(30000)[0] == 4);
    CHECK(data.train.labels[30009] == 9);

    Bytes bad = file;
    bad[7 * kRecord] = 10;
    write(dir / "data_batch_3.bin", bad);
    const auto label = message_of(ErrorCode::kStorageCorruption, [&] { train::load_cifar10(dir.path()); });
    CHECK(label.find("data_batch_3.bin") != std::string::npos);
    CHECK(label.find("record 7") != std::string::npos);

    bad = file;
    bad.pop_back();
    write(dir / "data_batch_3.bin", bad);
    CHECK_THROWS_AS(train::load_cifar10(dir.path()), StorageCorruption);
    bad.resize(file.size() + 1);
    write(dir / "data_batch_3.bin", bad);
    CHECK_THROWS_AS(train::load_cifar10(dir.path()), StorageCorruption);
  }
}

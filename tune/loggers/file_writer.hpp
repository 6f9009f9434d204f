#pragma once
// Small whole-file operations of the loggers; each throws IoError that names the file.
#include <filesystem>
#include <string>
#include <string_view>

namespace manta::tune {

/// Replaces the file by a rename: readers see the old text or the new.
void replace_file(const std::filesystem::path& path, std::string_view text);
/// One write at the end of the file, which is made when there is none.
void append_file(const std::filesystem::path& path, std::string_view text);
/// The file's text; empty when there is no such file.
std::string read_file(const std::filesystem::path& path);

/// Keeps the first so many bytes. False when the file is shorter, or not there.
bool cut_file(const std::filesystem::path& path, std::size_t bytes);
/// Puts everything that was written to the file system of `dir` on the disk, as far as the system can.
void sync_file_system(const std::filesystem::path& dir) noexcept;

/// "2026-11-24 02:43:34", UTC.
std::string utc_text(std::int64_t time_ms);

}  // namespace manta::tune

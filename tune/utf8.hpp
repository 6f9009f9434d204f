#pragma once
// Texts as UTF-8, which the bytes of an exception's text or a name need not be.
#include <cstddef>
#include <string>
#include <string_view>

namespace manta::tune {

/// How many bytes the UTF-8 character at the beginning takes; 0 when there is none (RFC 3629: no surrogates, nothing longer
/// than it need be, nothing beyond U+10FFFF).
std::size_t character_size(std::string_view text);

bool is_utf8(std::string_view text);

/// The text with U+FFFD for each byte that is no UTF-8.
std::string valid_utf8(std::string_view text);

}  // namespace manta::tune

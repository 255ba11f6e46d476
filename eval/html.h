// Text and numbers as HTML may hold them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace plumage {

/// Safe as text and inside quoted attributes: & < > " ' as entities, control characters dropped (but newline
/// and tab), bytes that are not UTF-8 as U+FFFD.
std::string escape_html(std::string_view text);

std::string base64(std::string_view bytes);

std::string fixed(double value, int decimals);    ///< "12.30"
std::string grouped(double value, int decimals);  ///< "12,345.6"; the minus sign is U+2212
std::string short_number(double value);           ///< at most four digits: "0.05", "1500", "2e+05"

}  // namespace plumage

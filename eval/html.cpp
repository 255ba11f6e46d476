// Escapes, base64 and number formats.
#include "eval/html.h"

#include <cmath>
#include <cstdio>

namespace plumage {
namespace {

/// Bytes of the UTF-8 letter at the start of `text`; 0 if there is none.
size_t letter_length(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : 0; };
  auto follows = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  uint8_t a = byte(0);
  if (a < 0x80) return 1;
  if (a >= 0xC2 && a < 0xE0) return follows(1) ? 2 : 0;
  if (a >= 0xE0 && a < 0xF0) {
    bool overlong = a == 0xE0 && byte(1) < 0xA0, surrogate = a == 0xED && byte(1) >= 0xA0;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (a >= 0xF0 && a < 0xF5) {
    bool overlong = a == 0xF0 && byte(1) < 0x90, beyond = a == 0xF4 && byte(1) >= 0x90;
    return follows(1) && follows(2) && follows(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string safe;
  while (!text.empty()) {
    size_t length = letter_length(text);
    unsigned char c = static_cast<unsigned char>(text[0]);
    if (length == 0)
      safe += "\xEF\xBF\xBD";
    else if (c == '&')
      safe += "&amp;";
    else if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else if (c == '"')
      safe += "&quot;";
    else if (c == '\'')
      safe += "&#39;";
    else if ((c >= 0x20 && c != 0x7F) || c == '\n' || c == '\t')
      safe += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return safe;
}

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t left = bytes.size() - i;
    auto byte = [&](size_t j) { return j < left ? uint32_t(uint8_t(bytes[i + j])) : 0u; };
    uint32_t word = byte(0) << 16 | byte(1) << 8 | byte(2);
    text += kDigits[word >> 18];
    text += kDigits[word >> 12 & 63];
    text += left > 1 ? kDigits[word >> 6 & 63] : '=';
    text += left > 2 ? kDigits[word & 63] : '=';
  }
  return text;
}

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string grouped(double value, int decimals) {
  if (!std::isfinite(value))
    return std::isnan(value) ? "not a number" : value > 0 ? "\xE2\x88\x9E" : "\xE2\x88\x92\xE2\x88\x9E";
  if (std::abs(value) >= 1e15) return short_number(value);
  std::string digits = fixed(std::abs(value), decimals);
  size_t point = digits.find('.') == std::string::npos ? digits.size() : digits.find('.');
  for (size_t i = point; i > 3; i -= 3) digits.insert(i - 3, ",");
  bool negative = value < 0 && digits.find_first_not_of("0.,") != std::string::npos;
  return (negative ? "\xE2\x88\x92" : "") + digits;
}

std::string short_number(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace plumage

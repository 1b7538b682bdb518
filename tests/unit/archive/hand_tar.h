// Tars written by hand, with the entries no tar program would write.
#pragma once

#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace slipway::archive {

class HandTar {
 public:
  static constexpr int mtime = 1'234'567'890;

  HandTar& file(const std::string& name, const std::string& content, int mode = 0644,
                unsigned uid = 0, unsigned gid = 0) {
    header('0', name, "", content.size(), mode, uid, gid);
    data(content);
    return *this;
  }
  HandTar& directory(const std::string& name, int mode = 0755) {
    header('5', name, "", 0, mode);
    return *this;
  }
  HandTar& symlink(const std::string& name, const std::string& text) {
    header('2', name, text, 0, 0777);
    return *this;
  }
  HandTar& hard_link(const std::string& name, const std::string& target) {
    header('1', name, target, 0, 0644);
    return *this;
  }
  HandTar& special(char type, const std::string& name) {
    header(type, name, "", 0, 0666);
    return *this;
  }
  /// PAX records for the next entry.
  HandTar& pax(const std::vector<std::pair<std::string, std::string>>& records) {
    std::string text;
    for (const auto& [key, value] : records) {
      const size_t rest = key.size() + value.size() + 3;
      size_t size = rest + 1;
      while (std::to_string(size).size() + rest != size) ++size;
      text += std::to_string(size) + ' ' + key + '=' + value + '\n';
    }
    header('x', "PaxHeaders/x", "", text.size(), 0644);
    data(text);
    return *this;
  }
  std::string done() const { return bytes_ + std::string(1024, '\0'); }
  const std::string& unfinished() const { return bytes_; }

 private:
  void data(const std::string& content) {
    bytes_ += content;
    bytes_.append((512 - content.size() % 512) % 512, '\0');
  }
  void header(char type, const std::string& name, const std::string& link, size_t size, int mode,
              unsigned uid = 0, unsigned gid = 0) {
    if (name.size() > 100) {
      header('L', "././@LongLink", "", name.size() + 1, 0);
      data(name + '\0');
    }
    if (link.size() > 100) {
      header('K', "././@LongLink", "", link.size() + 1, 0);
      data(link + '\0');
    }
    char block[513] = {};
    std::memcpy(block, name.data(), std::min<size_t>(name.size(), 100));
    std::snprintf(block + 100, 8, "%07o", static_cast<unsigned>(mode));
    std::snprintf(block + 108, 8, "%07o", uid);
    std::snprintf(block + 116, 8, "%07o", gid);
    std::snprintf(block + 124, 12, "%011zo", size);
    std::snprintf(block + 136, 12, "%011o", static_cast<unsigned>(mtime));
    std::memset(block + 148, ' ', 8);
    block[156] = type;
    std::memcpy(block + 157, link.data(), std::min<size_t>(link.size(), 100));
    std::memcpy(block + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; ++i) sum += static_cast<unsigned char>(block[i]);
    std::snprintf(block + 148, 8, "%06o", sum);
    bytes_.append(block, 512);
  }

  std::string bytes_;
};

}  // namespace slipway::archive

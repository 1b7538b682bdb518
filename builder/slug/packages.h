// Recognising packages in an app's tree by their paths: npm modules, gems, Python distributions and
// hex dependencies, with the versions they state themselves.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "slug/slug.h"

namespace slipway::slug {

/// Collects the files of one slug. Paths are relative to the app.
class PackageFinder {
 public:
  /// Bytes of the file's content that add() wants to see; 0 = none. Files beyond it are not looked
  /// into.
  static uint64_t wanted_content(std::string_view path);
  void add(const std::string& path, uint64_t raw_bytes, uint64_t compressed_bytes,
           std::string_view content);
  /// One row per package and version ("npm lodash 4.17.21"), largest first.
  std::vector<Inspection::Row> rows() const;

 private:
  struct Package {
    std::string kind, name, version;
    uint64_t raw_bytes = 0, compressed_bytes = 0, files = 0;
  };
  struct PythonFile {
    std::string path;
    uint64_t raw_bytes = 0, compressed_bytes = 0;
  };
  // One site-packages folder. Whose a file is stands in the RECORDs, which come in any order.
  struct Site {
    std::vector<PythonFile> files;
    std::map<std::string, std::string> owner_of_file, owner_of_top;  // → "requests 2.31.0"
  };
  struct Place;
  static bool find_place(const std::vector<std::string_view>& parts, Place& place);
  static void read_record(Site& site, const std::string& owner, std::string_view record);
  static std::string python_owner(const Site& site, const std::string& path);

  std::map<std::string, Package> packages_;  // by folder
  std::map<std::string, Site> sites_;        // by folder
};

}  // namespace slipway::slug

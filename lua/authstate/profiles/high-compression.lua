-- SPDX-License-Identifier: MIT
--- For the fewest bytes in Redis: many sessions that are seldom used. All records are
-- packed anyway, whatever the profile; this is what a compressor still finds.

return {
  options = {
    compression = "zstd",
    compression_threshold_bytes = 64,
    compression_min_gain_bytes = 1,
    compression_min_gain_percent = 0,
  },
  why = {
    compression = "makes the least of these records of the three, and is read again the "
      .. "fastest but for lz4 (doc/envelope.md)",
    compression_threshold_bytes = "also of sessions and sender-keys, some of which have "
      .. "parts that repeat; below 64 bytes nothing was ever saved",
    compression_min_gain_bytes = "each byte counts; what does not become smaller is "
      .. "stored as it is, so that no record takes more than without the profile",
    compression_min_gain_percent = "a hundredth of a large record counts, too",
  },
}

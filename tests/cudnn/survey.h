// What cuDNN says of every convolution of the networks, for devices that are not here.
#pragma once
#include <string>
#include <vector>

#include "tensor/backend/cuda/cudnn_graph.h"

namespace plumage::test {

/// Of one layer, pass and type: its answer for each device and batch.
struct Answer {
  int64_t engines = 0;    ///< that may be used
  int64_t first = -1;     ///< cuDNN's number of the first
  int64_t workspace = 0;  ///< its bytes
  std::string refusal;    ///< why no plan could be made of it, else empty
};
struct SurveyRow {
  std::string problem, users;
  std::vector<Answer> answers;  ///< device by device, batch by batch
  std::string str() const;      ///< a line of the table
};

extern const std::vector<std::string> kSurveyDevices;  ///< names of the files in tests/cudnn/devices
extern const std::vector<int64_t> kSurveyBatches;

cuda::Descriptor described_device(const std::string& name);

/// Gives cuDNN a driver's library to look into, where there is no driver: engines that compile their kernels
/// want one. False where the toolkit's stand-in was not found.
bool load_driver();

/// without_compiled: leaves out the fusions, all of whose engines compile.
std::vector<SurveyRow> survey(bool without_compiled);

/// "cuDNN 9.19.0"
std::string cudnn_version();

}  // namespace plumage::test

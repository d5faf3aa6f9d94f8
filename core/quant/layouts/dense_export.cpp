// SPDX-License-Identifier: Apache-2.0
// The candidate's weights as dense 16-bit ones: what the candidate answers, for engines that know no layout of it.
#include "core/quant/layouts/layout_functions.h"
#include "core/quant/layouts/model_writer.h"

namespace tenpak::quant {

Status export_dense(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model, const fs::path& out,
                    const JobContext& ctx) {
    LayoutWriter writer;
    writer.name = "bf16";
    writer.transposed = true;
    return write_model(source, side_files, model, writer, out, ctx);
}

}  // namespace tenpak::quant

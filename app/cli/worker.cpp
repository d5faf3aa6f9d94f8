// SPDX-License-Identifier: Apache-2.0
// `tenpak worker`: for this program's own use. --probe is of use to people, too.
#include "core/jobs/worker.h"

#include "app/cli/command.h"

namespace tenpak::cli {
namespace {

std::string probe_text(const jobs::HardwareInfo& h) {
    std::string s = h.summary() + "\n";
    s += "CPU: " + h.cpu + ", " + std::to_string(h.cores) + " usable, " + format_bytes(static_cast<double>(h.memory_bytes)) + " memory\n";
    if (h.gpu) {
        s += "GPU: " + h.gpu_name + ", compute capability " + h.gpu_architecture + ", " + format_bytes(static_cast<double>(h.gpu_memory_bytes)) + ", copies " +
             format_bytes(h.gpu_copy_bandwidth) + "/s, self-test passed\n";
    } else {
        s += "GPU: " + h.gpu_reason + "\n";
    }
    for (std::size_t i = 0; i < h.gpus.size(); ++i) {
        const auto& g = h.gpus[i];
        s += "cuda:" + std::to_string(i) + ": " + g.name + ", compute capability " + g.architecture + ", " + format_bytes(static_cast<double>(g.free_bytes)) + " free of " +
             format_bytes(static_cast<double>(g.memory_bytes)) + "\n";
    }
    return s;
}

}  // namespace

void add_worker(CLI::App& app, Context& ctx) {
    struct Options {
        int fd = -1, parent = 0;
        bool probe = false;
    };
    auto o = std::make_shared<Options>();
    CLI::App* c = app.add_subcommand("worker", "Runs one trial for another tenpak; --probe says what hardware there is");
    c->add_option("--fd", o->fd, "Descriptor of the channel to the parent");
    c->add_option("--parent", o->parent, "Process that must live");
    c->add_flag("--probe", o->probe, "Print what hardware there is");
    c->callback([o, &ctx] {
        ctx.run = [o, &ctx]() -> Result<int> {
            if (o->probe) {
                const jobs::HardwareInfo h = jobs::probe_this_process();
                TENPAK_ASSIGN(const Json j, parse_json(jobs::hardware_to_json(h), "probe"));
                print_result(ctx, OrderedJson(j), probe_text(h));
                return 0;
            }
            if (o->fd < 3) {
                return make_error(ErrorCode::kInvalidArgument, "tenpak worker is started by tenpak itself", {}, "Use tenpak optimize, or tenpak worker --probe");
            }
            return jobs::worker_main(o->fd, o->parent);
        };
    });
}

}  // namespace tenpak::cli

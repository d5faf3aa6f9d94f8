// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <signal.h>

#include <chrono>

#include "core/base/json.h"
#include "core/base/thread_pool.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/compute/cuda/cuda_backend.h"
#include "core/compute/cuda/self_test.h"
#include "core/jobs/child_process.h"
#include "core/jobs/exit_reason.h"
#include "core/jobs/worker.h"

namespace tenpak::jobs {
namespace {

constexpr auto kProbeTimeout = std::chrono::seconds(15);  // a driver that wakes a GPU takes some seconds
constexpr std::uint64_t kCopyBytes = 256u << 20;
constexpr std::size_t kMaxGpus = 1024;

}  // namespace

std::string HardwareInfo::summary() const {
    std::string s = "CPU, " + std::to_string(cores) + (cores == 1 ? " core" : " cores");
    if (!instruction_sets.empty()) s += ", " + instruction_sets;
    if (gpu) return gpu_name + " · " + s;
    const std::size_t colon = gpu_reason.find(':');
    std::string why = gpu_reason.substr(0, colon);
    if (why.starts_with("no NVIDIA driver")) why = "no NVIDIA driver";
    return why.empty() ? s : s + " · " + why;
}

HardwareInfo probe_this_process() {
    const compute::CpuFeatures& f = compute::cpu_features();
    HardwareInfo h;
    h.cpu = f.model;
    h.instruction_sets = f.instruction_sets();
    h.cores = usable_cpus();
    h.memory_bytes = f.memory_bytes;
    const auto cuda = compute::CudaModule::open();
    if (!cuda.ok()) {
        h.gpu_reason = cuda.error().what;
        return h;
    }
    for (const compute::CudaDevice& g : (*cuda)->devices()) {
        h.gpus.push_back({g.name, std::to_string(g.sm_major) + "." + std::to_string(g.sm_minor), g.memory_bytes, g.free_bytes});
    }
    const compute::CudaDevice& d = (*cuda)->devices().front();
    h.gpu_name = d.name;
    h.gpu_memory_bytes = d.memory_bytes;
    h.gpu_architecture = std::to_string(d.sm_major) + "." + std::to_string(d.sm_minor);
    h.gpu_driver = (*cuda)->driver_version();
    // A GPU whose kernels compute something else is no GPU to measure on.
    const auto self_test = [&]() -> Status {
        TENPAK_RETURN_IF_ERROR((*cuda)->self_test(0));
        TENPAK_ASSIGN(const auto backend, compute::make_cuda_backend(0));
        return compute::compare_with_cpu(*backend);
    };
    if (const Status s = self_test(); !s.ok()) {
        h.gpu_reason = "the GPU's self-test failed (" + s.error().text() + "): running on the CPU";
        return h;
    }
    const auto rate = (*cuda)->copy_bandwidth(0, std::min<std::uint64_t>(kCopyBytes, d.free_bytes / 4));
    if (rate.ok()) h.gpu_copy_bandwidth = *rate;
    h.gpu = true;
    return h;
}

std::string hardware_to_json(const HardwareInfo& h) {
    OrderedJson gpus = OrderedJson::array();
    for (const HardwareInfo::Gpu& g : h.gpus) {
        gpus.push_back({{"name", g.name}, {"architecture", g.architecture}, {"memory_bytes", g.memory_bytes}, {"free_bytes", g.free_bytes}});
    }
    const OrderedJson j = {{"cpu", h.cpu}, {"instruction_sets", h.instruction_sets}, {"cores", h.cores}, {"memory_bytes", h.memory_bytes}, {"gpu", h.gpu},
                           {"gpu_name", h.gpu_name}, {"gpu_reason", h.gpu_reason}, {"gpu_memory_bytes", h.gpu_memory_bytes},
                           {"gpu_architecture", h.gpu_architecture}, {"gpu_driver", h.gpu_driver}, {"gpu_copy_bandwidth", h.gpu_copy_bandwidth}, {"gpus", gpus},
                           {"summary", h.summary()}};
    return j.dump(2, ' ', false, OrderedJson::error_handler_t::replace);
}

Result<HardwareInfo> hardware_from_json(const std::string& json, const std::string& where) {
    TENPAK_ASSIGN(const Json j, parse_json(json, where, {.max_bytes = 100'000, .max_depth = 4}));
    HardwareInfo h;
    TENPAK_ASSIGN(h.cpu, json_get<std::string>(j, "cpu", where));
    TENPAK_ASSIGN(h.instruction_sets, json_get<std::string>(j, "instruction_sets", where));
    TENPAK_ASSIGN(h.cores, json_get<unsigned>(j, "cores", where));
    TENPAK_ASSIGN(h.memory_bytes, json_get<std::uint64_t>(j, "memory_bytes", where));
    TENPAK_ASSIGN(h.gpu, json_get<bool>(j, "gpu", where));
    TENPAK_ASSIGN(h.gpu_name, json_get<std::string>(j, "gpu_name", where));
    TENPAK_ASSIGN(h.gpu_reason, json_get<std::string>(j, "gpu_reason", where));
    TENPAK_ASSIGN(h.gpu_memory_bytes, json_get<std::uint64_t>(j, "gpu_memory_bytes", where));
    TENPAK_ASSIGN(h.gpu_architecture, json_get<std::string>(j, "gpu_architecture", where));
    TENPAK_ASSIGN(h.gpu_driver, json_get<int>(j, "gpu_driver", where));
    TENPAK_ASSIGN(h.gpu_copy_bandwidth, json_get<double>(j, "gpu_copy_bandwidth", where));
    TENPAK_ASSIGN(const Json gpus, json_get<Json>(j, "gpus", where));
    if (!gpus.is_array() || gpus.size() > kMaxGpus) return make_error(ErrorCode::kMalformed, "\"gpus\" must be an array", where);
    for (const Json& g : gpus) {
        HardwareInfo::Gpu gpu;
        TENPAK_ASSIGN(gpu.name, json_get<std::string>(g, "name", where));
        TENPAK_ASSIGN(gpu.architecture, json_get<std::string>(g, "architecture", where));
        TENPAK_ASSIGN(gpu.memory_bytes, json_get<std::uint64_t>(g, "memory_bytes", where));
        TENPAK_ASSIGN(gpu.free_bytes, json_get<std::uint64_t>(g, "free_bytes", where));
        h.gpus.push_back(std::move(gpu));
    }
    return h;
}

Result<HardwareInfo> probe_hardware(const std::filesystem::path& worker_program) {
    TENPAK_ASSIGN(const auto child, ChildProcess::start(worker_program, {"worker", "--probe", "--json"}, false));
    const auto deadline = std::chrono::steady_clock::now() + kProbeTimeout;
    while (child->drain_output()) {
        if (std::chrono::steady_clock::now() >= deadline) {
            return make_error(ErrorCode::kTimeout, "the hardware probe did not answer", worker_program.string(), "Check the GPU's driver");
        }
        ::poll(nullptr, 0, 5);
    }
    child->wait_exit(1000);
    const ExitState exit = child->poll_exit();
    if (!exit.exited || exit.signal != 0 || exit.code != 0) return death_error(exit, worker_program.string(), "probe", child->last_words(), false);
    // Anything in front of the document came from libraries that write to stderr.
    const std::size_t begin = child->output().find("{\n");
    return hardware_from_json(begin == std::string::npos ? child->output() : child->output().substr(begin), "hardware probe");
}

}  // namespace tenpak::jobs

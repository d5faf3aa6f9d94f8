// SPDX-License-Identifier: Apache-2.0
// Verifying an unpacked model by its model.sig, as OMS v1.0 section 9 has it. Internal to core/signing.
#pragma once
#include "core/signing/signing.h"

namespace tenpak::signing {

/// kSignature where there is no model.sig. Every file must be listed and match, and none may be there that is not.
Result<VerifyReport> verify_directory(const fs::path& directory, const VerifyRequest& request, const JobContext& ctx);

}  // namespace tenpak::signing

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* otelbpf reload: what is loaded becomes what the configuration says. */
#include "args.h"
#include "config_apply.h"
#include "fail.h"
#include "kernel.h"
#include "pins.h"

int cmd_reload(const struct args *args)
{
	struct config_plan plan;
	struct failure failure;
	int code;

	if (args->names)
		return fail(EXIT_USAGE,
			    "reload takes no names: all of the configuration is applied");
	/* All is checked before anything changes. */
	code = config_plan__read(&plan, args);
	if (!code && !plan.config.root)
		code = fail(EXIT_CONFIG, "there is no configuration in %s", plan.config.where);
	if (!code && kernel__check(&failure))
		code = fail(failure.code, "%s", failure.line);
	if (!code)
		code = pins__check(args->pin_dir);
	if (!code)
		code = config_apply(&plan, args, true);
	config_plan__free(&plan);
	return code;
}

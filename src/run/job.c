#include "job.h"

#include "par/comm.h"

olica_status olica_job_open(olica_job *job, olica_context *context, const olica_options *options,
                            olica_report *report) {
  *job = (olica_job){.setup = {.context = context, .options = options}, .report = report, .lock = -1};
  job->engine =
      (olica_engine){.setup = &job->setup, .inputs = &job->inputs, .riders = &job->riders, .report = report};
  job->resume = (olica_resume){.setup = &job->setup, .snapshot = {.engine = &job->engine}};
  job->saved = (olica_saved){.setup = &job->setup, .engine = &job->engine};
  OLICA_TRY(olica_setup_open(&job->setup));
  size_t before = context->env->memory.now;
  OLICA_TRY(olica_inputs_create(&job->setup, &job->inputs));
  OLICA_TRY(olica_riders_create(&job->setup, report, &job->riders));
  OLICA_TRY(olica_inputs_open_tokenizer(&job->inputs, olica_riders_tokenize(&job->riders)));
  OLICA_TRY(olica_inputs_open_calibration(&job->inputs));
  OLICA_TRY(olica_riders_open(&job->riders, &job->inputs));
  OLICA_TRY(olica_inputs_dump(&job->inputs));
  olica_inputs_measure(&job->inputs, before);
  return OLICA_OK;
}

static olica_status check_ids(const olica_job *job) {
  OLICA_TRY(olica_inputs_check_ids(&job->inputs));
  return olica_riders_check_ids(&job->riders);
}

olica_status olica_job_check_ids(const olica_job *job) {
  OLICA_AGREE(job->setup.context, check_ids(job));
  return OLICA_OK;
}

void olica_job_close(olica_job *job) {
  olica_engine_close(&job->engine);
  olica_inputs_close(&job->inputs);
  olica_resume_close(&job->resume);
  olica_saved_close(&job->saved);
}

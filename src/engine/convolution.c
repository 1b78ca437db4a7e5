/* Layers that convolve instead of attending (LFM2, arXiv:2511.23404): a product has three parts, b, c and x, each as
 * wide as the hidden state; of every channel the last values of b * x, by a weight for each, are summed up, and c gates
 * the sum. What a sum needs of earlier positions lies in pages, like keys and values in a layer with a window. */
#include "engine/forward_private.h"

struct convolution_job {
    struct forward *f;
    const struct forward_part *part;
    const struct weights_layer *layer;
    uint32_t index; /* within the slice */
};

static float *kept(const struct convolution_job *job, const struct step_row *row, uint32_t position) {
    const struct forward *f = job->f;
    float *page = pages_kept(f->pages, job->index, row->session, position / KERN_PAGE);
    return page + (size_t)(position % KERN_PAGE) * f->params->embd;
}

static void keep_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct convolution_job *job = context;
    size_t width = job->f->params->embd;
    for (size_t row = begin; row < end; row++) {
        const float *b = job->f->convolved + row * 3 * width, *x = b + 2 * width;
        float *out = kept(job, &job->part->rows[row], job->part->rows[row].position);
        for (size_t i = 0; i < width; i++) out[i] = b[i] * x[i];
    }
}

/* The oldest first; before the text there is nothing. */
static void convolve_row(const struct convolution_job *job, const struct step_row *row, float *out) {
    size_t width = job->f->params->embd, length = job->f->params->convolution;
    for (size_t i = 0; i < width; i++) out[i] = 0.0f;
    for (size_t tap = 0; tap < length; tap++) {
        size_t back = length - 1 - tap;
        if (back > row->position) continue;
        const float *in = kept(job, row, row->position - (uint32_t)back), *weight = job->layer->convolution + tap;
        for (size_t i = 0; i < width; i++) out[i] += in[i] * weight[i * length];
    }
}

static void convolve_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct convolution_job *job = context;
    struct forward *f = job->f;
    size_t width = f->params->embd;
    for (size_t row = begin; row < end; row++) {
        const float *c = f->convolved + row * 3 * width + width;
        float *out = f->attended.f32 + (job->part->first + row) * f->attended.f32_stride;
        convolve_row(job, &job->part->rows[row], out);
        for (size_t i = 0; i < width; i++) out[i] *= c[i];
    }
}

void forward__convolve(struct forward *f, const struct forward_part *part, uint32_t index) {
    struct convolution_job job = {f, part, &f->weights->layers[index], index};
    struct product in = {&job.layer->convolution_in, f->convolved};
    forward__multiply(f, &(struct products){&f->normed, 0, part->row_count, {in}});
    pool_run(f->pool, part->row_count, 1, keep_task, &job);
    pool_run(f->pool, part->row_count, 1, convolve_task, &job);
}

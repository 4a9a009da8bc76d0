/* ops_cuda/sim/lines.cpp - the source line of an address, read from the program's own debug information.
 *
 * Walks .debug_line (DWARF 2 to 5, as gcc and clang write it with -g) of the ELF file that holds the address.
 * It runs only when a report is made, so it searches from the start each time. Without -g, with compressed
 * debug sections or on other systems it answers that nothing is known.
 */
#include "internal.h"
#include <cstdio>
#include <cstring>

#ifdef __ELF__
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mt_sim {

namespace {

typedef unsigned char byte;

/* Bytes of a section; reading past the end gives zeros. */
struct byte_span {
    const byte *at, *end;
    bool empty() const { return at >= end; }
    u64 fixed(unsigned n)
    {
        u64 value = 0;
        if ((size_t)(end - at) < n) {
            at = end;
            return 0;
        }
        memcpy(&value, at,
               n); /* the debug information has the machine's byte order, and both are little-endian */
        at += n;
        return value;
    }
    u64 uleb()
    {
        u64 value = 0;
        for (unsigned shift = 0; at < end; shift += 7) {
            byte b = *at++;
            if (shift < 64) value |= (u64)(b & 127) << shift;
            if (!(b & 128)) break;
        }
        return value;
    }
    int64_t sleb()
    {
        int64_t value = 0;
        for (unsigned shift = 0; at < end;) {
            byte b = *at++;
            if (shift < 64) value |= (int64_t)((u64)(b & 127) << shift);
            shift += 7;
            if (b & 128) continue;
            if ((b & 64) && shift < 64) value |= -((int64_t)1 << shift);
            break;
        }
        return value;
    }
    const char *text()
    {
        const byte *start = at, *nul = at < end ? (const byte *)memchr(at, 0, (size_t)(end - at)) : nullptr;
        at = nul ? nul + 1 : end;
        return nul ? (const char *)start : "";
    }
    void skip(u64 n) { at = n < (u64)(end - at) ? at + n : end; }
};

struct elf_image {
    byte_span line, line_str, str;
};

const char *string_at(const byte_span &section, u64 offset)
{
    if (offset >= (u64)(section.end - section.at)) return "";
    byte_span b = {section.at + offset, section.end};
    return b.text();
}

/* One field of a version 5 file table; the text when it is one. */
const char *form(byte_span *b, u64 kind, const elf_image &image, unsigned offset_size)
{
    switch (kind) {
    case 0x08: return b->text();                                        /* DW_FORM_string */
    case 0x1f: return string_at(image.line_str, b->fixed(offset_size)); /* DW_FORM_line_strp */
    case 0x0e: return string_at(image.str, b->fixed(offset_size));      /* DW_FORM_strp */
    case 0x0b: b->skip(1); return "";                                   /* DW_FORM_data1 */
    case 0x05: b->skip(2); return "";                                   /* DW_FORM_data2 */
    case 0x06: b->skip(4); return "";                                   /* DW_FORM_data4 */
    case 0x07: b->skip(8); return "";                                   /* DW_FORM_data8 */
    case 0x1e: b->skip(16); return "";                                  /* DW_FORM_data16 */
    case 0x09: b->skip(b->uleb()); return "";                           /* DW_FORM_block */
    default: b->uleb(); return "";                                      /* DW_FORM_udata */
    }
}

/* The name of the index-th file of a unit, from its file table. */
const char *file_name(byte_span b, const elf_image &image, unsigned version, unsigned offset_size, u64 index)
{
    if (version >= 5) {
        for (int table = 0; table < 2; ++table) { /* directories, then files */
            u64 kinds[16][2] = {}, fields = b.fixed(1);
            for (u64 i = 0; i < fields; ++i) {
                u64 content = b.uleb(), kind = b.uleb();
                if (i < 16) kinds[i][0] = content, kinds[i][1] = kind;
            }
            u64 count = b.uleb();
            for (u64 entry = 0; entry < count && !b.empty(); ++entry) {
                const char *name = "";
                for (u64 i = 0; i < fields && i < 16; ++i) {
                    const char *text = form(&b, kinds[i][1], image, offset_size);
                    if (kinds[i][0] == 1) name = text; /* DW_LNCT_path */
                }
                if (table == 1 && entry == index) return name;
            }
        }
        return "";
    }
    while (!b.empty() && b.text()[0]) {}
    for (u64 entry = 1; !b.empty(); ++entry) {
        const char *name = b.text();
        if (!name[0] || entry == index) return name;
        b.uleb(), b.uleb(), b.uleb();
    }
    return "";
}

struct line_row {
    u64 address, file, line;
};

/* Runs one unit's line program; true when a row covers the address. */
bool search_unit(byte_span b, const elf_image &image, unsigned offset_size, u64 target, char *text,
                 size_t size)
{
    unsigned version = (unsigned)b.fixed(2);
    if (version < 2 || version > 5) return false;
    if (version >= 5) b.skip(2);
    u64 header = b.fixed(offset_size);
    byte_span program = b;
    program.skip(header);
    u64 shortest = b.fixed(1);
    if (version >= 4) b.skip(1);
    b.skip(1);
    int line_base = (signed char)b.fixed(1);
    unsigned line_range = (unsigned)b.fixed(1), opcode_base = (unsigned)b.fixed(1);
    const byte *lengths = b.at;
    if (line_range == 0 || opcode_base == 0) return false;
    b.skip(opcode_base - 1);

    line_row row = {0, 1, 1}, last = {0, 0, 0};
    bool have_last = false;
    u64 good_line = 0; /* a row of line 0 has no line of its own: the one before it stands in */
    while (!program.empty()) {
        unsigned op = (unsigned)program.fixed(1);
        bool emit = false, end_sequence = false;
        if (op >= opcode_base) {
            unsigned adjusted = op - opcode_base;
            row.address += shortest * (adjusted / line_range);
            row.line = (u64)((int64_t)row.line + line_base + (int)(adjusted % line_range));
            emit = true;
        } else if (op == 0) {
            u64 length = program.uleb();
            byte_span extended = program;
            program.skip(length);
            unsigned what = (unsigned)extended.fixed(1);
            if (what == 1) emit = end_sequence = true;
            if (what == 2) row.address = extended.fixed((unsigned)(length - 1 < 8 ? length - 1 : 8));
        } else if (op == 1) {
            emit = true;
        } else if (op == 2) {
            row.address += shortest * program.uleb();
        } else if (op == 3) {
            row.line = (u64)((int64_t)row.line + program.sleb());
        } else if (op == 4) {
            row.file = program.uleb();
        } else if (op == 8) {
            row.address += shortest * ((255 - opcode_base) / line_range);
        } else if (op == 9) {
            row.address += program.fixed(2);
        } else {
            for (unsigned i = lengths[op - 1]; i > 0; --i) program.uleb();
        }
        if (!emit) continue;
        if (have_last && last.address <= target && target < row.address) {
            const char *name = file_name(b, image, version, offset_size, last.file),
                       *slash = strrchr(name, '/');
            snprintf(text, size, "%s:%u", slash ? slash + 1 : name, (unsigned)last.line);
            return true;
        }
        if (row.line) good_line = row.line;
        last = {row.address, row.file, good_line};
        have_last = !end_sequence;
        if (end_sequence) row = {0, 1, 1}, good_line = 0;
    }
    return false;
}

bool search_image(const elf_image &image, u64 target, char *text, size_t size)
{
    byte_span all = image.line;
    while (!all.empty()) {
        u64 length = all.fixed(4);
        unsigned offset_size = 4;
        if (length == 0xffffffffu) {
            length = all.fixed(8);
            offset_size = 8;
        }
        byte_span unit = all;
        all.skip(length);
        unit.end = all.at;
        if (search_unit(unit, image, offset_size, target, text, size)) return true;
    }
    return false;
}

struct loaded_module {
    u64 address, base;
    char path[512];
    bool found;
};

int find_module(struct dl_phdr_info *info, size_t, void *data)
{
    loaded_module *m = static_cast<loaded_module *>(data);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr) &segment = info->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD || m->address - info->dlpi_addr - segment.p_vaddr >= segment.p_memsz)
            continue;
        m->base = info->dlpi_addr;
        snprintf(m->path, sizeof m->path, "%s", info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe");
        m->found = true;
        return 1;
    }
    return 0;
}

bool in_file(u64 offset, u64 bytes, size_t size) { return offset <= size && bytes <= size - offset; }

elf_image read_sections(const byte *file, size_t size)
{
    elf_image image = {};
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)file;
    if (size < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return image;
    if (!in_file(header->e_shoff, (u64)header->e_shnum * sizeof(ElfW(Shdr)), size)) return image;
    const ElfW(Shdr) *sections = (const ElfW(Shdr) *)(file + header->e_shoff);
    if (header->e_shstrndx >= header->e_shnum) return image;
    const ElfW(Shdr) &names = sections[header->e_shstrndx];
    if (!in_file(names.sh_offset, names.sh_size, size)) return image;
    byte_span name_bytes = {file + names.sh_offset, file + names.sh_offset + names.sh_size};
    for (unsigned i = 0; i < header->e_shnum; ++i) {
        const ElfW(Shdr) &s = sections[i];
        if (s.sh_type == SHT_NOBITS || (s.sh_flags & SHF_COMPRESSED) ||
            !in_file(s.sh_offset, s.sh_size, size))
            continue;
        byte_span bytes = {file + s.sh_offset, file + s.sh_offset + s.sh_size};
        const char *name = string_at(name_bytes, s.sh_name);
        if (strcmp(name, ".debug_line") == 0) image.line = bytes;
        if (strcmp(name, ".debug_line_str") == 0) image.line_str = bytes;
        if (strcmp(name, ".debug_str") == 0) image.str = bytes;
    }
    return image;
}

} // namespace

bool line_of(const void *code, char *text, size_t size)
{
    text[0] = '\0';
    loaded_module module = {};
    module.address = (u64)(uintptr_t)code - 1; /* a return address is the byte after its call */
    dl_iterate_phdr(find_module, &module);
    int fd = module.found ? open(module.path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return false;
    struct stat info;
    bool found = false;
    if (fstat(fd, &info) == 0 && info.st_size > 0) {
        size_t bytes = (size_t)info.st_size;
        void *file = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (file != MAP_FAILED) {
            elf_image image = read_sections(static_cast<const byte *>(file), bytes);
            found = search_image(image, module.address - module.base, text, size);
            munmap(file, bytes);
        }
    }
    close(fd);
    return found;
}

} // namespace mt_sim

#else

namespace mt_sim {

bool line_of(const void *, char *text, size_t)
{
    text[0] = '\0';
    return false;
}

} // namespace mt_sim

#endif

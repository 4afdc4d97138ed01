//go:build cdk

package main

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// needs returns the actions that the code of a function uses, by resource.
func needs(t *testing.T, function string) map[string]map[string]bool {
	t.Helper()
	methods := ports(t)
	used := map[string]bool{}
	dirs := closure(t, "functions/"+function)
	if function == "repair" {
		// Of the dispatcher's package it calls Repair alone.
		dirs = nil
		for _, fn := range reached(t, "shared/dispatcher", "Repair") {
			for method := range methods {
				if fn[method] {
					used[method] = true
				}
			}
		}
	}
	for _, dir := range dirs {
		// Adapters and what wraps them forward everything; relay declares it.
		if slices.Contains([]string{"shared/dynamo", "shared/sqsqueue", "shared/cache", "shared/relay", "shared/awsruntime"}, dir) {
			continue
		}
		for _, file := range parse(t, dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				// A call of a port's method; maps.Keys is none.
				if call, ok := n.(*ast.CallExpr); ok {
					if sel, ok := call.Fun.(*ast.SelectorExpr); ok && methods[sel.Sel.Name] && !imports(file, name(sel.X)) {
						used[sel.Sel.Name] = true
					}
				}
				return true
			})
		}
	}
	all := map[string]map[string]bool{}
	add := func(resource string, actions ...string) {
		for _, a := range actions {
			if all[resource] == nil {
				all[resource] = map[string]bool{}
			}
			all[resource][a] = true
		}
	}
	for method, actions := range adapter(t, "shared/dynamo") {
		if used[method] {
			add(onTable, actions...)
		}
	}
	queue := adapter(t, "shared/sqsqueue")
	lanes := map[string][]string{"receiver": {onEvents}, "api": {onEvents, onRetries}, "dispatcher": {onEvents, onRetries}, "repair": {onRetries}}[function]
	// Which lanes: what the main hands on.
	for _, file := range parse(t, "functions/"+function) {
		fields := map[string]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && name(sel.X) == "rt" {
				fields[sel.Sel.Name] = true
			}
			return true
		})
		if len(fields) > 0 && (fields["Events"] != slices.Contains(lanes, onEvents) || fields["Retries"] != slices.Contains(lanes, onRetries) || fields["Keys"] != (function != "repair")) {
			t.Errorf("%s hands on %v, and the test takes it for %v", function, fields, lanes)
		}
	}
	for _, lane := range lanes {
		for _, method := range []string{"Send", "Receive", "Delete", "Hide"} {
			// In a Lambda, Receive and Delete are the mapping's.
			if used[method] && method != "Receive" && method != "Delete" {
				add(lane, queue[method]...)
			}
		}
		if used["Bury"] {
			add(lane+"-dead", queue["Bury"]...)
		}
		if function == "dispatcher" {
			add(lane, consume...)
		}
	}
	for _, actions := range adapter(t, "shared/awsruntime") {
		if function == "repair" {
			break // its main hides the secret's name from it
		}
		for _, a := range actions {
			if strings.HasPrefix(a, "secretsmanager:") {
				add(onKeyring, a)
			}
		}
	}
	return all
}

// reached returns what each function of a package calls that a call of root
// comes to.
func reached(t *testing.T, dir, root string) map[string]map[string]bool {
	t.Helper()
	calls := map[string]map[string]bool{}
	for _, file := range parse(t, dir) {
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			of := calls[fn.Name.Name]
			if of == nil {
				of = map[string]bool{}
				calls[fn.Name.Name] = of
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					of[name(called(call))] = true
				}
				return true
			})
		}
	}
	all := map[string]map[string]bool{}
	var walk func(string)
	walk = func(id string) {
		if all[id] != nil || calls[id] == nil {
			return
		}
		all[id] = calls[id]
		for callee := range calls[id] {
			walk(callee)
		}
	}
	walk(root)
	if len(all) < 2 {
		t.Fatalf("%s comes to %v", root, all)
	}
	return all
}

// imports reports whether name is a package in the file.
func imports(file *ast.File, name string) bool {
	return slices.ContainsFunc(file.Imports, func(imp *ast.ImportSpec) bool {
		path := strings.Trim(imp.Path.Value, `"`)
		return path == name || strings.HasSuffix(path, "/"+name)
	})
}

// called returns what a call calls, without the types of a generic function.
func called(call *ast.CallExpr) ast.Expr {
	switch x := call.Fun.(type) {
	case *ast.IndexExpr:
		return x.X
	case *ast.IndexListExpr:
		return x.X
	}
	return call.Fun
}

// ports returns the methods of relay's ports.
func ports(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, file := range parse(t, "shared/relay") {
		ast.Inspect(file, func(n ast.Node) bool {
			if port, ok := n.(*ast.InterfaceType); ok {
				for _, m := range port.Methods.List {
					for _, id := range m.Names {
						all[id.Name] = true
					}
				}
			}
			return true
		})
	}
	if !all["PutEvent"] || !all["Send"] {
		t.Fatalf("ports: %v", all)
	}
	return all
}

// adapter returns the actions that each function and method of a package needs,
// with those that it calls in the package.
func adapter(t *testing.T, dir string) map[string][]string {
	t.Helper()
	calls, direct := map[string]map[string]bool{}, map[string]map[string]bool{}
	types := map[string]bool{} // item(x) converts, and calls nothing
	for _, file := range parse(t, dir) {
		for _, decl := range file.Decls {
			if g, ok := decl.(*ast.GenDecl); ok {
				for _, spec := range g.Specs {
					if typ, ok := spec.(*ast.TypeSpec); ok {
						types[typ.Name.Name] = true
					}
				}
			}
		}
	}
	for _, file := range parse(t, dir) {
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			id := fn.Name.Name
			if calls[id] == nil {
				calls[id], direct[id] = map[string]bool{}, map[string]bool{}
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				switch x := n.(type) {
				case *ast.CallExpr:
					if ident, ok := x.Fun.(*ast.Ident); ok && types[ident.Name] {
						return true
					}
					calls[id][name(called(x))] = true
					// What is handed on may be called.
					for _, arg := range x.Args {
						if ident, ok := arg.(*ast.Ident); !ok || ident.Obj == nil || ident.Obj.Kind == ast.Fun {
							calls[id][name(arg)] = true
						}
					}
				case *ast.CompositeLit:
					if sel, ok := x.Type.(*ast.SelectorExpr); ok {
						for _, a := range actionsOf(name(sel.X), sel.Sel.Name) {
							direct[id][a] = true
						}
					}
				}
				return true
			})
		}
	}
	all := map[string][]string{}
	for id := range calls {
		seen := map[string]bool{}
		actions := map[string]bool{}
		var walk func(string)
		walk = func(id string) {
			if seen[id] {
				return
			}
			seen[id] = true
			maps.Copy(actions, direct[id])
			for callee := range calls[id] {
				if calls[callee] != nil {
					walk(callee)
				}
			}
		}
		walk(id)
		all[id] = slices.Sorted(maps.Keys(actions))
	}
	return all
}

// actionsOf returns the actions that a request of this type needs. A transaction
// needs those of its parts; a batch of SQS those of its single call.
func actionsOf(pkg, typ string) []string {
	switch pkg {
	case "types":
		switch typ {
		case "Put":
			return []string{"dynamodb:PutItem"}
		case "Update":
			return []string{"dynamodb:UpdateItem"}
		case "Delete":
			return []string{"dynamodb:DeleteItem"}
		case "ConditionCheck":
			return []string{"dynamodb:ConditionCheckItem"}
		case "Get":
			return []string{"dynamodb:GetItem"}
		}
	case "dynamodb", "sqs", "secretsmanager":
		op, ok := strings.CutSuffix(typ, "Input")
		if !ok || strings.HasPrefix(op, "Transact") {
			return nil
		}
		if pkg == "sqs" {
			op = strings.TrimSuffix(op, "Batch")
		}
		return []string{pkg + ":" + op}
	}
	return nil
}
